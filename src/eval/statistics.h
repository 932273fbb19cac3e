// Means of scores, how far they may be off, and whether they could be luck.
#pragma once

#include <cstdint>
#include <span>

namespace dsmoe::eval {

struct Interval {
  double low = 0, high = 0;
  bool holds(double value) const { return low <= value && value <= high; }
};

struct Estimate {
  double mean = 0;
  double standard_error = 0;  ///< of the mean: the sample's deviation over the root of its size; NaN for one value
  int64_t count = 0;
};

/// Of at least one value.
Estimate mean_of(std::span<const double> values);
/// 95 %: 1.96 standard errors on both sides.
Interval normal_interval(const Estimate& estimate);
/// 95 % for a share of successes (Wilson's score interval), which does not shrink to nothing when all are alike.
Interval share_interval(double share, int64_t count);
/// The sum of `amounts` over the sum of `sizes`, where a unit that was drawn (a document) has one of each (nats and
/// tokens), with the standard error over units of that ratio; `count` is the number of units, at least one. NaN where
/// the sizes sum to nothing.
Estimate ratio_of_sums(std::span<const double> amounts, std::span<const double> sizes);

}  // namespace dsmoe::eval
