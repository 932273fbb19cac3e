// From values to places on a figure, as shares of its width or height.
#pragma once

#include <string>
#include <vector>

namespace dsmoe::charts {

/// Round values (1, 2 or 5 times a power of ten), about `about` of them, within [low, high], at least `least_step`
/// apart.
std::vector<double> round_ticks(double low, double high, int about = 5, double least_step = 0);

/// A range of values laid out from 0 to 100.
struct Scale {
  double low = 0, high = 1;
  double operator()(double value) const { return 100 * (value - low) / (high - low); }
};

/// The range of the finite ones among `values`, `margin` of its width added at both ends; never empty.
Scale scale_of(const std::vector<double>& values, double margin = 0.03);

/// "12.50%"
std::string percent(double share);

}  // namespace dsmoe::charts
