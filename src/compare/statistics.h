// Differences between arms from few runs: an additive model of arm and seed.
//
//   loss(arm, seed) = level(arm) + shift(seed) + error,   error ~ N(0, s^2), the same s for every arm
//
// A seed decides data order and initial values of every arm alike, so its shift drops out of differences. The residual
// variance is pooled over all arms: with A arms and S seeds it has (A - 1)(S - 1) degrees of freedom, where a pair of
// arms alone would have S - 1. Missing runs are allowed; the fit is by least squares.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace dsmoe::compare {

struct Observation {
  size_t arm = 0, seed = 0;  ///< from 0 on
  double value = 0;
};

/// The fitted model.
class AdditiveFit {
 public:
  /// `arms` and `seeds` are counts. Arms or seeds without an observation, and arms that no chain of shared seeds joins
  /// to the first one, have no estimate.
  AdditiveFit(std::span<const Observation> observations, size_t arms, size_t seeds);

  /// Level of `a` less that of `b`; nothing where they cannot be compared.
  std::optional<double> difference(size_t a, size_t b) const;
  /// Standard error of that difference; nothing without degrees of freedom.
  std::optional<double> standard_error(size_t a, size_t b) const;
  /// Root of the pooled residual variance; 0 without degrees of freedom.
  double residual() const { return residual_; }
  int degrees_of_freedom() const { return freedom_; }

 private:
  size_t arms_;
  std::vector<bool> joined_;        // by arm: connected with the first observed one
  std::vector<double> levels_;      // by arm
  std::vector<double> covariance_;  // [arms, arms], of the levels, in units of the residual variance
  double residual_ = 0;
  int freedom_ = 0;
};

/// Two-sided p-value of a difference that is `t` standard errors from the null, and the t beyond which a share `alpha`
/// of the distribution lies on both sides together. `freedom` at least 1.
double two_sided_p(double t, int freedom);
double critical_t(double alpha, int freedom);

/// How far repeated figures lie apart.
struct Spread {
  double deviation = 0;      ///< standard deviation (of a sample), in the figures' unit
  double low = 0, high = 0;  ///< its interval, in which the true one lies with probability 1 - alpha for normal figures
};

/// Empty for fewer than two figures. The interval is of the chi-squared distribution.
std::optional<Spread> spread_of(std::span<const double> figures, double alpha);

/// Holm's procedure: for each p-value the share of `alpha` that its own interval may use (alpha / (m - k) for the k-th
/// smallest, k from 0), in the order given. Intervals at these levels err for any claim of the page with probability at
/// most alpha when claims are tested from the smallest p-value on.
std::vector<double> holm_levels(std::span<const double> p_values, double alpha);

}  // namespace dsmoe::compare
