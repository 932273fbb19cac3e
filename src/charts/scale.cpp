#include "charts/scale.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace dsmoe::charts {

std::vector<double> round_ticks(double low, double high, int about, double least_step) {
  const double rough = (high - low) / about;
  if (!(rough > 0) || !std::isfinite(rough)) return {low};
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = std::max(least_step, power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10));
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= 4 * about && (first + i) * step <= high + step * 1e-9; ++i) ticks.push_back((first + i) * step);
  return ticks.empty() ? std::vector<double>{low} : ticks;
}

Scale scale_of(const std::vector<double>& values, double margin) {
  double low = INFINITY, high = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value), high = std::max(high, value);
  }
  if (!(low <= high)) return {0, 1};
  const double width = high > low ? high - low : std::max(std::abs(low), 1e-3);
  return {low - margin * width, high + margin * width};
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", share);
  return text;
}

}  // namespace dsmoe::charts
