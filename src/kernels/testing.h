// For this room's tests: numbers from a seed, every instruction set in turn, and comparison under a derived bound.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/isa.h"

namespace dsmoe::kernels::testing {

/// Half the distance from 1 to the next float: the relative error of one rounding.
inline constexpr double kRound = 0x1p-24;

/// Bound of the relative error, against sum |a b|, of a dot product of n terms in 16 lanes: each lane rounds a product
/// and a sum (one rounding where there is FMA) ceil(n / 16) times, folding 16 lanes rounds 4 times.
inline double dot_bound(int64_t n) { return (2.0 * static_cast<double>((n + 15) / 16) + 4) * kRound; }

inline std::vector<float> normal_values(base::Rng& rng, int64_t n, double deviation = 1) {
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = static_cast<float>(deviation * rng.normal());
  return values;
}

/// Where `count` rows lie that fill `memory` from its end on.
inline std::vector<float*> backwards(std::span<float> memory, int64_t count) {
  std::vector<float*> rows;
  const auto size = static_cast<int64_t>(memory.size()) / count;
  for (int64_t i = 1; i <= count; ++i) rows.push_back(memory.data() + (count - i) * size);
  return rows;
}

/// |got[i] - want[i]| <= bound(i) everywhere; says the worst index. NaN fails.
inline void expect_within(std::span<const float> got, std::span<const float> want,
                          const std::function<double(size_t)>& bound, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  size_t worst = 0;
  double worst_share = -1;
  for (size_t i = 0; i < got.size(); ++i) {
    const double share = std::abs(double{got[i]} - want[i]) / (bound(i) + 1e-300);
    if (!(share <= worst_share)) worst = i, worst_share = share;
    if (std::isnan(share)) break;
  }
  EXPECT_TRUE(worst_share <= 1) << what << ": worst at " << worst << " of " << got.size() << ", got " << got[worst]
                                << ", want " << want[worst] << ", allowed " << bound(worst) << ", off by "
                                << worst_share << " of that";
}

/// A test that runs once on each instruction set of this machine.
class EveryIsa : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    use_isa(GetParam());
    ASSERT_EQ(active_isa(), GetParam());
  }
  void TearDown() override { use_isa(isa_from("")); }
};

inline std::string isa_label(const ::testing::TestParamInfo<Isa>& info) { return std::string(isa_name(info.param)); }

}  // namespace dsmoe::kernels::testing

#define DSMOE_ON_EVERY_ISA(Suite) \
  INSTANTIATE_TEST_SUITE_P(Here, Suite, ::testing::ValuesIn(::dsmoe::kernels::available_isas()), testing::isa_label)
