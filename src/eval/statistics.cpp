#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace dsmoe::eval {
namespace {

constexpr double kNormal95 = 1.959963984540054;

double standard_error(double squares, int64_t count) {
  if (count < 2) return std::numeric_limits<double>::quiet_NaN();
  const auto n = static_cast<double>(count);
  return std::sqrt(squares / (n - 1) / n);
}

}  // namespace

Estimate mean_of(std::span<const double> values) {
  DSMOE_CHECK(!values.empty(), "a mean of something");
  Estimate result;
  result.count = std::ssize(values);
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(result.count);
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.standard_error = standard_error(squares, result.count);
  return result;
}

Interval normal_interval(const Estimate& estimate) {
  return {estimate.mean - kNormal95 * estimate.standard_error, estimate.mean + kNormal95 * estimate.standard_error};
}

Interval share_interval(double share, int64_t count) {
  const auto n = static_cast<double>(count);
  const double z2 = kNormal95 * kNormal95, scale = 1 / (1 + z2 / n);
  const double middle = scale * (share + z2 / (2 * n));
  const double half = scale * kNormal95 * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

Estimate ratio_of_sums(std::span<const double> amounts, std::span<const double> sizes) {
  DSMOE_CHECK(amounts.size() == sizes.size() && !amounts.empty(), "units of an amount and a size each");
  Estimate result;
  result.count = std::ssize(amounts);
  const double all = std::accumulate(sizes.begin(), sizes.end(), 0.0);
  result.mean = std::accumulate(amounts.begin(), amounts.end(), 0.0) / all;
  // A ratio of sums varies as the mean over units of what each deviates from it (Cochran, Sampling Techniques, 6.4).
  double squares = 0;
  for (size_t i = 0; i < amounts.size(); ++i) {
    const double residual = amounts[i] - result.mean * sizes[i];
    squares += residual * residual;
  }
  result.standard_error = standard_error(squares, result.count) * static_cast<double>(result.count) / all;
  return result;
}

}  // namespace dsmoe::eval
