#include "compare/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace dsmoe::compare {
namespace {

// Three arms, three seeds: level + shift + what is left.
std::vector<Observation> observations(const double (&errors)[3][3]) {
  const double levels[] = {4.0, 3.9, 3.7}, shifts[] = {0.0, 0.05, -0.02};
  std::vector<Observation> all;
  for (size_t a = 0; a < 3; ++a) {
    for (size_t s = 0; s < 3; ++s) all.push_back({a, s, levels[a] + shifts[s] + errors[a][s]});
  }
  return all;
}

TEST(AdditiveFit, ExactDataGiveExactDifferences) {
  const AdditiveFit fit(observations({}), 3, 3);
  EXPECT_NEAR(*fit.difference(0, 2), 0.3, 1e-12);
  EXPECT_NEAR(fit.residual(), 0, 1e-12);
  EXPECT_EQ(fit.degrees_of_freedom(), 4);
}

// By hand: the errors have row and column means of zero, so they are the residuals; their squares sum to 12e-6 over 4
// degrees of freedom, and a difference of two means of three has the standard error s sqrt(2/3).
TEST(AdditiveFit, ResidualAndStandardErrorByHand) {
  const double e = 0.001;
  const AdditiveFit fit(observations({{e, -e, 0}, {-e, 2 * e, -e}, {0, -e, e}}), 3, 3);
  EXPECT_NEAR(fit.residual(), std::sqrt(10e-6 / 4), 1e-9);
  EXPECT_NEAR(*fit.standard_error(0, 1), fit.residual() * std::sqrt(2.0 / 3), 1e-12);
}

// Four figures 1, 2, 3, 4: squares of 5 in all over 3 degrees of freedom, whose chi-squared quantiles at 2.5 % and 97.5
// % are 0.2158 and 9.3484 in every table.
TEST(SpreadOf, DeviationAndIntervalByHand) {
  const std::vector<double> figures = {1, 2, 3, 4};
  const Spread spread = spread_of(figures, 0.05).value();
  EXPECT_NEAR(spread.deviation, std::sqrt(5.0 / 3), 1e-12);
  EXPECT_NEAR(spread.low, std::sqrt(5 / 9.3484), 1e-4);
  EXPECT_NEAR(spread.high, std::sqrt(5 / 0.2158), 1e-3);
  EXPECT_FALSE(spread_of(std::vector<double>{1}, 0.05)) << "one figure has no spread";
}

TEST(AdditiveFit, AMissingRunDoesNotShiftTheOthers) {
  std::vector<Observation> all = observations({});
  all.erase(all.begin() + 1);  // arm 0, seed 1
  const AdditiveFit fit(all, 3, 3);
  EXPECT_NEAR(*fit.difference(0, 1), 0.1, 1e-12) << "the seed's shift is known from the other arms";
  EXPECT_EQ(fit.degrees_of_freedom(), 3);
}

TEST(AdditiveFit, WhatIsNotJoinedHasNoDifference) {
  const std::vector<Observation> apart = {{0, 0, 4.0}, {1, 1, 3.0}};
  const AdditiveFit fit(apart, 3, 2);
  EXPECT_FALSE(fit.difference(0, 1)) << "no seed is shared";
  EXPECT_FALSE(fit.difference(0, 2)) << "never observed";
  EXPECT_FALSE(AdditiveFit({}, 2, 2).difference(0, 1));
}

TEST(AdditiveFit, OneSeedHasADifferenceButNoError) {
  const std::vector<Observation> one = {{0, 0, 4.0}, {1, 0, 3.0}};
  const AdditiveFit fit(one, 2, 1);
  EXPECT_NEAR(*fit.difference(0, 1), 1.0, 1e-12);
  EXPECT_FALSE(fit.standard_error(0, 1));
}

// Intervals at 95 % must hold the truth in about 95 % of made-up comparisons: 2,000 of 12 arms and 3 seeds, whose share
// scatters by 0.5 %.
TEST(AdditiveFit, IntervalsCoverTheTruth) {
  base::Rng rng(7);
  int covered = 0;
  constexpr int kTimes = 2000;
  for (int time = 0; time < kTimes; ++time) {
    std::vector<Observation> all;
    for (size_t s = 0; s < 3; ++s) {
      const double shift = 0.02 * rng.normal();
      for (size_t a = 0; a < 12; ++a)
        all.push_back({a, s, 4.0 + 0.01 * static_cast<double>(a) + shift + 0.003 * rng.normal()});
    }
    const AdditiveFit fit(all, 12, 3);
    const double half = critical_t(0.05, fit.degrees_of_freedom()) * *fit.standard_error(5, 2);
    covered += std::abs(*fit.difference(5, 2) - 0.03) <= half;
  }
  EXPECT_NEAR(covered / double{kTimes}, 0.95, 0.02);
}

// Student's t, from printed tables: t(0.975, 4) = 2.776, t(0.975, 22) = 2.074.
TEST(Student, QuantilesOfPrintedTables) {
  EXPECT_NEAR(critical_t(0.05, 4), 2.776, 5e-4);
  EXPECT_NEAR(critical_t(0.05, 22), 2.074, 5e-4);
  EXPECT_NEAR(two_sided_p(2.776, 4), 0.05, 1e-4);
}

TEST(Holm, LevelsByRank) {
  const std::vector<double> p = {0.04, 0.001, 0.5};
  EXPECT_EQ(holm_levels(p, 0.06), (std::vector<double>{0.03, 0.02, 0.06}));
}

}  // namespace
}  // namespace dsmoe::compare
