// Row kernels against their references, on every instruction set, over odd sizes.
#include "kernels/rows.h"

#include <algorithm>
#include <limits>

#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

using testing::expect_within;
using testing::kRound;
using testing::normal_values;

constexpr int64_t kSizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 100, 129, 1000};

class Rows : public testing::EveryIsa {
 protected:
  base::Rng rng_{20240111};
};
DSMOE_ON_EVERY_ISA(Rows);

// Argument reduction: n ln 2 is exact in its first part, r carries 2 roundings of values below 0.35, the series about
// 2 roundings at 1: under 3 units in the last place (6 roundings) all told.
TEST_P(Rows, ExponentialIsWithinThreeUnits) {
  std::vector<float> x, want;
  for (double value = -87.25; value < 87.9; value += 0.00371) x.push_back(static_cast<float>(value));
  for (const float special : {0.0f, -0.0f, 1e-30f, -1e-30f, 0.34657359f, -0.34657359f}) x.push_back(special);
  want.resize(x.size());
  exponential_ref(x, want);
  std::vector<float> got(x.size());
  exponential(x, got);
  expect_within(
      got, want, [&](size_t i) { return 6 * kRound * want[i]; }, "exponential");
}

TEST_P(Rows, ExponentialStaysAtItsBordersAndKeepsNan) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> out(4);
  exponential(std::vector<float>{-inf, -1000, inf, std::nanf("")}, out);
  EXPECT_NEAR(out[0], 1.2e-38, 1e-39);
  EXPECT_EQ(out[0], out[1]);
  EXPECT_NEAR(out[2] / std::exp(88.0), 1, 1e-6);
  EXPECT_TRUE(std::isnan(out[3]));
}

TEST_P(Rows, RmsNormMatchesItsDefinition) {
  for (const int64_t n : kSizes) {
    const auto x = normal_values(rng_, 3 * n, 2), weight = normal_values(rng_, n);
    std::vector<float> got(x.size()), want(x.size());
    rms_norm(x, weight, 1e-6, got);
    rms_norm_ref(x, weight, 1e-6, want);
    // The mean square is off by the bound of a dot product, its root by half of that; four more roundings follow.
    const double relative = testing::dot_bound(n) / 2 + 4 * kRound;
    expect_within(
        got, want, [&](size_t i) { return relative * std::abs(want[i]); }, "rms_norm " + std::to_string(n));
  }
}

// A term has the 6 roundings of an exponential and one of the difference, relative to its size; a lane adds up to 16 of
// a block, which are folded 4 times: relative errors of a sum are absolute ones of its logarithm. The largest is exact.
TEST_P(Rows, LogSumExpMatchesItsDefinition) {
  for (const int64_t n : {1, 2, 15, 16, 17, 255, 256, 257, 1000, 102400}) {
    for (const double spread : {0.0, 1.0, 30.0}) {
      const auto x = normal_values(rng_, n, spread);
      EXPECT_NEAR(log_sum_exp(x), log_sum_exp_ref(x), (7 + 16 + 4) * kRound + 2 * kRound * 8 * spread)
          << n << " " << spread;
    }
  }
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(log_sum_exp(std::vector<float>{3}), 3);
  EXPECT_NEAR(log_sum_exp(std::vector<float>{-1e30f, 2, -inf}), 2, 1e-30);
  for (const float odd : {inf, std::nanf("")}) {
    for (const size_t at : {0u, 7u, 16u, 299u}) {
      auto x = normal_values(rng_, 300);
      x[at] = odd;
      EXPECT_TRUE(std::isnan(log_sum_exp(x))) << odd << " at " << at;
    }
  }
}

TEST_P(Rows, RmsNormOfARowIgnoresItsNeighboursAndWorksInPlace) {
  const auto x = normal_values(rng_, 5 * 33), weight = normal_values(rng_, 33);
  std::vector<float> all(x.size()), one(33), in_place = x;
  rms_norm(x, weight, 1e-6, all);
  rms_norm(std::span(x).subspan(66, 33), weight, 1e-6, one);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + 66));
  rms_norm(in_place, weight, 1e-6, in_place);
  EXPECT_EQ(in_place, all);
}

TEST_P(Rows, RopeMatchesItsDefinitionAndKeepsLengths) {
  for (const int64_t head_dim : {2, 4, 10, 16, 32, 34, 64, 128}) {
    const RopeTable table(head_dim, 10000, 70);
    for (const int64_t position : {0, 1, 5, 69}) {
      auto got = normal_values(rng_, 3 * head_dim), want = got;
      const auto before = got;
      rope(got, table, position);
      rope_ref(want, table, position);
      // Two products and a sum: each term at most |a| + |b| large, three roundings, and the reference's own.
      expect_within(
          got, want,
          [&](size_t i) {
            const size_t half = static_cast<size_t>(head_dim) / 2;
            const size_t partner = i % (2 * half) < half ? i + half : i - half;
            return 4 * kRound * (std::abs(before[i]) + std::abs(before[partner]));
          },
          "rope " + std::to_string(head_dim));
      if (position == 0) {
        EXPECT_EQ(got, before);
      }
      const size_t half = static_cast<size_t>(head_dim) / 2;
      for (size_t i = 0; i < half; ++i) {
        EXPECT_NEAR(std::hypot(got[i], got[i + half]), std::hypot(before[i], before[i + half]), 1e-5);
      }
    }
  }
}

TEST_P(Rows, RopeOfNeighboursIsThatOfHalves) {
  for (const int64_t head_dim : {2, 4, 10, 16, 30, 32, 34, 62, 64, 128}) {
    const RopeTable table(head_dim, 10000, 70);
    const auto pairs = normal_values(rng_, 3 * head_dim);
    std::vector<float> halves(pairs.size()), got(pairs.size()), want(pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i) {
      const size_t n = static_cast<size_t>(head_dim), in_head = i % n;
      halves[i - in_head + in_head / 2 + in_head % 2 * n / 2] = pairs[i];
    }
    rope(halves, table, 69);
    rope_pairs(pairs, table, 69, got);
    EXPECT_EQ(got, halves) << head_dim;
    rope_pairs_ref(pairs, table, 69, want);
    expect_within(
        got, want, [](size_t) { return 8 * 4 * kRound; }, "neighbours");  // values below 4, as above
  }
}

// What rotary embeddings are for: scores depend on the distance of two positions alone.
TEST_P(Rows, RopeScoresDependOnDistanceOnly) {
  const int64_t head_dim = 64;
  const RopeTable table(head_dim, 10000, 4096);
  const auto query = normal_values(rng_, head_dim), key = normal_values(rng_, head_dim);
  const auto score = [&](int64_t q, int64_t k) {
    auto a = query, b = key;
    rope(a, table, q);
    rope(b, table, k);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
    return sum;
  };
  EXPECT_NEAR(score(9, 2), score(4095, 4088), 1e-4);
  EXPECT_GT(std::abs(score(9, 2) - score(9, 3)), 1e-3);
}

TEST_P(Rows, SoftmaxMatchesItsDefinitionAndSumsToOne) {
  for (const int64_t n : kSizes) {
    const auto x = normal_values(rng_, 4 * n, 3);
    std::vector<float> got(x.size()), want(x.size());
    softmax(x, n, got);
    softmax_ref(x, n, want);
    for (size_t row = 0; row < 4; ++row) {
      const auto part = std::span(x).subspan(row * static_cast<size_t>(n), static_cast<size_t>(n));
      const auto [least, top] = std::minmax_element(part.begin(), part.end());
      // e^(x - top): the difference rounds, relative to its size; the exponential has 6 roundings; the same bounds
      // the terms of the sum, which adds the roundings of a sum in lanes; then a division and the reference's own.
      const double relative = (2 * (6 + (*top - *least)) + 2) * kRound + testing::dot_bound(n);
      double total = 0;
      for (size_t i = 0; i < part.size(); ++i) total += got[row * part.size() + i];
      EXPECT_NEAR(total, 1, relative + static_cast<double>(n) * kRound);
      expect_within(
          std::span(got).subspan(row * part.size(), part.size()),
          std::span(want).subspan(row * part.size(), part.size()),
          [&](size_t i) { return relative * want[row * part.size() + i]; }, "softmax " + std::to_string(n));
    }
  }
}

TEST_P(Rows, SoftmaxOfLargeAndEqualValues) {
  std::vector<float> out(17);
  softmax(std::vector<float>(17, 1e30f), 17, out);
  for (const float p : out) EXPECT_FLOAT_EQ(p, 1.0f / 17);
  std::vector<float> peaked(17, -1e30f);
  peaked[16] = 3;
  softmax(peaked, 17, out);
  EXPECT_EQ(out[16], 1.0f);
}

TEST_P(Rows, SiluMulMatchesItsDefinition) {
  for (const int64_t n : kSizes) {
    const auto gate = normal_values(rng_, n, 20), up = normal_values(rng_, n);
    std::vector<float> got(gate.size()), want(gate.size());
    silu_mul(gate, up, got);
    silu_mul_ref(gate, up, want);
    // e^-gate has 6 roundings, the sum, quotient, product and the reference one each. Far below zero the exponential
    // stops at e^88, which leaves |gate| e^-88 < 1e-35.
    expect_within(
        got, want, [&](size_t i) { return 10 * kRound * std::abs(want[i]) + 1e-35 * std::abs(up[i]); },
        "silu_mul " + std::to_string(n));
  }
}

TEST_P(Rows, AddScaledMatchesItsDefinition) {
  for (const int64_t n : kSizes) {
    const auto x = normal_values(rng_, n);
    auto got = normal_values(rng_, n), want = got;
    const auto before = got;
    add_scaled(0.37f, x, got);
    add_scaled_ref(0.37f, x, want);
    expect_within(
        got, want, [&](size_t i) { return 3 * kRound * (std::abs(before[i]) + std::abs(x[i])); },
        "add_scaled " + std::to_string(n));
  }
}

// Nothing is written past the end of a row: sanitizers see reads, this sees writes.
TEST_P(Rows, NothingPastTheEndIsTouched) {
  for (const int64_t n : kSizes) {
    const auto x = normal_values(rng_, n), y = normal_values(rng_, n);
    std::vector<float> guarded(static_cast<size_t>(n) + 16, 42.0f);
    const std::span<float> out(guarded.data(), static_cast<size_t>(n));
    rms_norm(x, y, 1e-6, out);
    softmax(x, n, out);
    silu_mul(x, y, out);
    add_scaled(2, x, out);
    exponential(x, out);
    for (size_t i = out.size(); i < guarded.size(); ++i) ASSERT_EQ(guarded[i], 42.0f) << n;
  }
}

TEST(RopeTable, IsExactFarOut) {
  const RopeTable table(64, 10000, 4097);
  EXPECT_EQ(table.cosines(4096)[0], static_cast<float>(std::cos(4096.0)));
  EXPECT_EQ(table.sines(4096)[31], static_cast<float>(std::sin(4096.0 * std::pow(10000.0, -62.0 / 64))));
}

}  // namespace
}  // namespace dsmoe::kernels
