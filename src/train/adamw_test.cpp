// AdamW's arithmetic against its definition, and against the formula in double.
#include "train/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"

namespace dsmoe::train {
namespace {

struct State {
  std::vector<float> value, grad, first, second;
  explicit State(int64_t n, uint64_t seed) {
    base::Rng rng(seed);
    for (int64_t i = 0; i < n; ++i) {
      value.push_back(static_cast<float>(rng.normal()));
      grad.push_back(static_cast<float>(rng.normal() * std::pow(10.0, rng.uniform() * 12 - 8)));
      first.push_back(static_cast<float>(rng.normal()));
      second.push_back(static_cast<float>(rng.uniform()));
    }
  }
  AdamWArrays arrays() { return {value.data(), grad.data(), first.data(), second.data()}; }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

TEST(AdamWArithmetic, FastEqualsDefinitionBitForBit) {
  for (const int64_t n : {0, 1, 3, 15, 16, 17, 31, 64, 1001}) {
    for (const bool decay : {false, true}) {
      const AdamWStep step = AdamWStep::make({}, 3e-4, 0.37, 5, decay);
      State a(n, 1), b(n, 1);
      adamw_update_ref(step, a.arrays(), n);
      adamw_update(step, b.arrays(), n);
      EXPECT_TRUE(same_bits(a.value, b.value)) << n;
      EXPECT_TRUE(same_bits(a.first, b.first)) << n;
      EXPECT_TRUE(same_bits(a.second, b.second)) << n;
      EXPECT_EQ(b.grad, std::vector<float>(static_cast<size_t>(n), 0.0F));
    }
  }
}

// Three updates of one element as the paper on AdamW writes them, in double.
TEST(AdamWArithmetic, FollowsTheFormula) {
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  const double lr = 0.01, grads[3] = {0.5, -0.25, 2.0};
  for (const bool decay : {false, true}) {
    float value = 1, grad = 0, first = 0, second = 0;
    double w = 1, m = 0, v = 0;
    for (int t = 1; t <= 3; ++t) {
      grad = static_cast<float>(grads[t - 1]);
      adamw_update(AdamWStep::make(options, lr, 0.5, t, decay), {&value, &grad, &first, &second}, 1);
      const double g = grads[t - 1] * 0.5;
      m = options.beta1 * m + (1 - options.beta1) * g;
      v = options.beta2 * v + (1 - options.beta2) * g * g;
      const double m_hat = m / (1 - std::pow(options.beta1, t)), v_hat = v / (1 - std::pow(options.beta2, t));
      w -= lr * (m_hat / (std::sqrt(v_hat) + options.eps) + (decay ? options.weight_decay * w : 0));
      // a handful of float32 roundings, each at most 6e-8 of a value of size 1
      EXPECT_NEAR(value, w, 1e-6) << "update " << t;
    }
  }
}

TEST(AdamWArithmetic, FirstUpdateMovesByTheRate) {
  float value = 0, grad = -1e-3F, first = 0, second = 0;
  adamw_update(AdamWStep::make({}, 0.01, 1, 1, true), {&value, &grad, &first, &second}, 1);
  EXPECT_NEAR(value, 0.01, 1e-6) << "m/sqrt(v) is the gradient's sign after one update";
}

TEST(SumOfSquares, EqualsAPlainSumAndSeesNonFiniteValues) {
  for (const int64_t n : {0, 1, 15, 16, 33, 1000}) {
    State state(n, 2);
    double plain = 0;
    for (const float x : state.value) plain += static_cast<double>(x) * x;
    EXPECT_NEAR(sum_of_squares(state.value.data(), n), plain, plain * 1e-14) << n;
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      if (n == 0) continue;
      state.value[static_cast<size_t>(n - 1)] = bad;
      EXPECT_FALSE(std::isfinite(sum_of_squares(state.value.data(), n)));
    }
  }
  const std::vector<float> huge(20, 3e38F);
  EXPECT_TRUE(std::isfinite(sum_of_squares(huge.data(), 20))) << "float32 squares do not overflow a double";
}

}  // namespace
}  // namespace dsmoe::train
