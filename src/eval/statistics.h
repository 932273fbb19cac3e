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
/// The nats a token of documents that have `nats` and `tokens` each, with the standard error over documents of that
/// ratio of sums; `count` is the number of documents.
Estimate ratio_of_sums(std::span<const double> nats, std::span<const double> tokens);

}  // namespace dsmoe::eval
