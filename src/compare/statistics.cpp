#include "compare/statistics.h"

#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace dsmoe::compare {
namespace {

// Marks the arms and seeds that shared observations join to the first observation.
void join(std::span<const Observation> observations, std::vector<bool>& arms, std::vector<bool>& seeds) {
  if (observations.empty()) return;
  arms[observations.front().arm] = true;
  for (bool grew = true; grew;) {
    grew = false;
    for (const Observation& o : observations) {
      if (arms[o.arm] == seeds[o.seed]) continue;
      arms[o.arm] = seeds[o.seed] = grew = true;
    }
  }
}

// Inverse of a symmetric positive definite [n, n] matrix by Gauss and Jordan; small n.
std::vector<double> inverse(std::vector<double> m, size_t n) {
  std::vector<double> out(n * n, 0.0);
  for (size_t i = 0; i < n; ++i) out[i * n + i] = 1;
  for (size_t i = 0; i < n; ++i) {
    const double pivot = m[i * n + i];
    DSMOE_CHECK(pivot > 1e-12, "the joined part of an additive model has full rank");
    for (size_t c = 0; c < n; ++c) {
      m[i * n + c] /= pivot;
      out[i * n + c] /= pivot;
    }
    for (size_t r = 0; r < n; ++r) {
      const double factor = m[r * n + i];
      if (r == i || factor == 0) continue;
      for (size_t c = 0; c < n; ++c) {
        m[r * n + c] -= factor * m[i * n + c];
        out[r * n + c] -= factor * out[i * n + c];
      }
    }
  }
  return out;
}

}  // namespace

AdditiveFit::AdditiveFit(std::span<const Observation> observations, size_t arms, size_t seeds)
    : arms_(arms), joined_(arms, false), levels_(arms, 0.0), covariance_(arms * arms, 0.0) {
  std::vector<bool> seed_joined(seeds, false);
  join(observations, joined_, seed_joined);
  // Unknowns: a level for each joined arm, a shift for each joined seed but the first, whose shift is 0.
  constexpr size_t kNone = static_cast<size_t>(-1);
  std::vector<size_t> arm_column(arms, kNone), seed_column(seeds, kNone);
  size_t n = 0;
  for (size_t a = 0; a < arms; ++a) {
    if (joined_[a]) arm_column[a] = n++;
  }
  bool first = true;
  for (size_t s = 0; s < seeds; ++s) {
    if (seed_joined[s] && !std::exchange(first, false)) seed_column[s] = n++;
  }
  std::vector<double> normal(n * n, 0.0), right(n, 0.0);
  size_t used = 0;
  for (const Observation& o : observations) {
    if (!joined_[o.arm]) continue;
    ++used;
    const size_t columns[2] = {arm_column[o.arm], seed_column[o.seed]};
    for (const size_t i : columns) {
      if (i == kNone) continue;
      right[i] += o.value;
      for (const size_t j : columns) {
        if (j != kNone) normal[i * n + j] += 1;
      }
    }
  }
  const std::vector<double> inverted = inverse(std::move(normal), n);
  std::vector<double> solution(n, 0.0);
  for (size_t i = 0; i < n; ++i) {
    solution[i] = std::inner_product(right.begin(), right.end(), inverted.begin() + static_cast<long>(i * n), 0.0);
  }
  double squares = 0;
  for (const Observation& o : observations) {
    if (!joined_[o.arm]) continue;
    const double shift = seed_column[o.seed] == kNone ? 0 : solution[seed_column[o.seed]];
    const double error = o.value - solution[arm_column[o.arm]] - shift;
    squares += error * error;
  }
  freedom_ = static_cast<int>(used) - static_cast<int>(n);
  residual_ = freedom_ > 0 ? std::sqrt(squares / freedom_) : 0;
  for (size_t a = 0; a < arms; ++a) {
    if (!joined_[a]) continue;
    levels_[a] = solution[arm_column[a]];
    for (size_t b = 0; b < arms; ++b) {
      if (joined_[b]) covariance_[a * arms + b] = inverted[arm_column[a] * n + arm_column[b]];
    }
  }
}

std::optional<double> AdditiveFit::difference(size_t a, size_t b) const {
  if (!joined_[a] || !joined_[b]) return std::nullopt;
  return levels_[a] - levels_[b];
}

std::optional<double> AdditiveFit::standard_error(size_t a, size_t b) const {
  if (!joined_[a] || !joined_[b] || freedom_ < 1) return std::nullopt;
  const double variance = covariance_[a * arms_ + a] + covariance_[b * arms_ + b] - 2 * covariance_[a * arms_ + b];
  return residual_ * std::sqrt(std::max(0.0, variance));
}

double two_sided_p(double t, int freedom) {
  if (!std::isfinite(t)) return 0;
  const boost::math::students_t distribution(freedom);
  return 2 * boost::math::cdf(boost::math::complement(distribution, std::abs(t)));
}

double critical_t(double alpha, int freedom) {
  const boost::math::students_t distribution(freedom);
  return boost::math::quantile(boost::math::complement(distribution, alpha / 2));
}

std::optional<Spread> spread_of(std::span<const double> figures, double alpha) {
  if (figures.size() < 2) return std::nullopt;
  const double mean = std::accumulate(figures.begin(), figures.end(), 0.0) / static_cast<double>(figures.size());
  double squares = 0;
  for (const double figure : figures) squares += (figure - mean) * (figure - mean);
  const auto freedom = static_cast<double>(figures.size() - 1);
  const boost::math::chi_squared distribution(freedom);
  const double most = boost::math::quantile(boost::math::complement(distribution, alpha / 2));
  const double least = boost::math::quantile(distribution, alpha / 2);
  return Spread{std::sqrt(squares / freedom), std::sqrt(squares / most), std::sqrt(squares / least)};
}

std::vector<double> holm_levels(std::span<const double> p_values, double alpha) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> levels(p_values.size());
  for (size_t k = 0; k < order.size(); ++k) levels[order[k]] = alpha / static_cast<double>(order.size() - k);
  return levels;
}

}  // namespace dsmoe::compare
