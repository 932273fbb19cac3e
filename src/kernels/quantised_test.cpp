// Products of quantised weights on every instruction set: against the reference, to the bit between sets, tokens,
// chunks and threads, and at the ends of the number ranges.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "kernels/activations.h"
#include "kernels/product.h"
#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

using testing::kRound;
using testing::normal_values;

constexpr BlockType kTypes[] = {BlockType::kQ8_0, BlockType::kQ4_0, BlockType::kQ4_1, BlockType::kQ5_0,
                                BlockType::kQ5_1, BlockType::kQ4K,  BlockType::kQ5K,  BlockType::kQ6K};

/// Random weights in blocks, and random activations.
struct Case {
  Case(base::Rng& rng, BlockType type, int64_t tokens, int64_t rows, int64_t cols)
      : bytes(static_cast<size_t>(blocks_bytes(type, rows * cols))),
        x(normal_values(rng, tokens * cols)),
        weights{weight_type(type), bytes.data(), rows, cols} {
    quantise_ref(type, normal_values(rng, rows * cols).data(), rows * cols, bytes.data());
    activations.resize(tokens, cols);
    activations.quantise(base::serial_for, x);
  }
  Case(const Case&) = delete;
  Product product(std::vector<float>& out) const {
    return {weights,
            0,
            weights.rows,
            x.data(),
            weights.cols,
            nullptr,
            activations.rows(),
            out.data(),
            weights.rows,
            activations.view()};
  }
  std::vector<float> run() const {
    std::vector<float> out(static_cast<size_t>(activations.rows() * weights.rows), -7);
    matmul(product(out));
    return out;
  }

  std::vector<uint8_t> bytes;
  std::vector<float> x;
  Matrix weights;
  ActivationRows activations;
};

class QuantisedProducts : public testing::EveryIsa {
 protected:
  base::Rng rng_{5};
};
DSMOE_ON_EVERY_ISA(QuantisedProducts);

// Integers are exact. Of a block's contribution scale * x's scale * integer four roundings are seen (float(integer) may
// be one of them, the weight's own dequantisation in the reference another two), and as many of minimum * sum; each
// sum over n blocks rounds 2 n times. All relative to sums of sizes, where an offset's part (value - 2^kOffset) counts
// as a whole: blocks are exact in it.
void expect_definition(const Case& c, const std::string& what) {
  std::vector<float> want(static_cast<size_t>(c.activations.rows() * c.weights.rows));
  Product reference = c.product(want);
  matmul_ref(reference);
  const int64_t rows = c.weights.rows, cols = c.weights.cols;
  const Activations a = c.activations.view();
  std::vector<float> weights(static_cast<size_t>(rows * cols));
  for (int64_t n = 0; n < rows; ++n) {
    weight_row(c.weights, n, std::span(weights).subspan(static_cast<size_t>(n * cols), static_cast<size_t>(cols)));
  }
  testing::expect_within(
      c.run(), want,
      [&](size_t i) {
        const int64_t t = static_cast<int64_t>(i) / rows, n = static_cast<int64_t>(i) % rows;
        const float* w = weights.data() + n * cols;
        double sizes = 0;
        for (int64_t k = 0; k < cols; ++k) {
          // |scale q| + |minimum| of a weight in a block with minima is at most its range, at most twice the largest
          // |weight| of a block of both signs; sums of normal values have both.
          const double x = std::abs(double{a.blocks[(t * cols + k) / 32].scale} * a.values[t * cols + k]);
          sizes += x * (std::abs(w[k]) + 4);
        }
        return (8 + 2.0 * static_cast<double>(cols / 32)) * kRound * sizes;
      },
      what);
}

TEST_P(QuantisedProducts, MatchTheDefinitionOverOddShapes) {
  for (const BlockType type : kTypes) {
    const int64_t unit = block_values(type);
    for (const int64_t blocks : {1, 3, 5, 9, 15, 19}) {
      for (const auto& [tokens, rows] :
           std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 16}, {2, 17}, {3, 33}, {5, 47}, {7, 64}, {40, 5}}) {
        if (unit == kSuperValues && blocks > 3) continue;
        const Case c(rng_, type, tokens, rows, blocks * unit);
        expect_definition(c, "type " + std::to_string(static_cast<int>(type)) + " " + std::to_string(tokens) + "x" +
                                 std::to_string(rows) + "x" + std::to_string(blocks * unit));
      }
    }
  }
}

TEST_P(QuantisedProducts, EverySetGivesTheSameBits) {
  for (const BlockType type : kTypes) {
    const Case c(rng_, type, 9, 37, 4 * kSuperValues + (block_values(type) == kBlockValues ? 96 : 0));
    const auto here = c.run();
    use_isa(Isa::kScalar);
    const auto plain = c.run();
    use_isa(GetParam());
    EXPECT_EQ(here, plain) << "type " << static_cast<int>(type);
  }
}

TEST_P(QuantisedProducts, ATokensBitsDoNotDependOnItsCompanyOrOnBlocks) {
  for (const BlockType type : kTypes) {
    const int64_t tokens = 13, rows = 45;
    const int64_t more = block_values(type) == kBlockValues ? 160 : 0;
    const Case c(rng_, type, tokens, rows, 2 * kSuperValues + more);
    const auto all = c.run();
    std::vector<float> one(static_cast<size_t>(rows));
    for (int32_t t = 0; t < tokens; ++t) {
      for (const int64_t cut : {int64_t{1}, int64_t{16}, int64_t{21}, rows - 1}) {  // rows in two pieces
        Product part = c.product(one);
        part.x_rows = &t;
        part.tokens = 1;
        part.row_end = cut;
        matmul(part);
        part.row_begin = cut;
        part.row_end = rows;
        matmul(part);
        ASSERT_EQ(std::memcmp(one.data(), all.data() + t * rows, one.size() * sizeof(float)), 0) << t << " cut " << cut;
      }
    }
    for (const int threads : {2, 3, 5}) {
      base::ThreadPool pool(threads);
      std::vector<float> again(all.size());
      const Product product = c.product(again);
      matmul(pool.parallel_for(), {&product, 1});
      EXPECT_EQ(again, all) << threads;
    }
    for (const int64_t count : {0, 1, 2, 3, 4, 5, 6, 7, 8, 11}) {  // the first tokens alone
      std::vector<float> some(all.size(), -7);
      Product part = c.product(some);
      part.tokens = count;
      matmul(part);
      const auto n = static_cast<std::ptrdiff_t>(count * rows);
      EXPECT_TRUE(std::equal(some.begin(), some.begin() + n, all.begin())) << count;
      EXPECT_EQ(std::count(some.begin() + n, some.end(), -7.0f), std::ssize(some) - n) << "nothing else is written";
      const auto to = testing::backwards(some, tokens);
      part.out_rows = to.data();
      matmul(part);
      for (int64_t t = 0; t < count; ++t) {
        const float* want = all.data() + t * rows;
        EXPECT_TRUE(std::equal(want, want + rows, to[static_cast<size_t>(t)])) << count << " tokens, row " << t;
      }
    }
  }
}

// All weights and activations at the ends of their ranges, where sums of 16 bits would overflow.
TEST_P(QuantisedProducts, ExtremesDoNotSaturate) {
  for (const BlockType type : kTypes) {
    for (const uint8_t fill : {0x00, 0x7f, 0x80, 0xff}) {
      for (const float sign : {1.0f, -1.0f}) {
        Case c(rng_, type, 3, 18, kSuperValues);
        std::fill(c.x.begin(), c.x.end(), sign);
        c.activations.quantise(base::serial_for, c.x);
        // Every value, scale of a few bits and fifth bit of a block; then half floats that are finite again.
        std::fill(c.bytes.begin(), c.bytes.end(), fill);
        const auto set_half = [&](size_t at) {
          const uint16_t one = 0x3c00;
          std::memcpy(c.bytes.data() + at, &one, sizeof(one));
        };
        for (size_t block = 0; block < c.bytes.size(); block += static_cast<size_t>(block_bytes(type))) {
          set_half(block + (type == BlockType::kQ6K ? 208 : 0));
          if (type == BlockType::kQ4_1 || type == BlockType::kQ5_1 || type == BlockType::kQ4K ||
              type == BlockType::kQ5K) {
            set_half(block + 2);
          }
        }
        std::vector<float> want(3 * 18);
        matmul_ref(c.product(want));
        const auto got = c.run();
        for (size_t i = 0; i < want.size(); ++i) {
          ASSERT_NEAR(got[i], want[i], 1e-5 * std::abs(want[i]) + 64 * 300 * kRound * 256)
              << static_cast<int>(type) << " fill " << int{fill};
        }
      }
    }
  }
}

TEST_P(QuantisedProducts, ActivationsAreTheirDefinition) {
  auto x = normal_values(rng_, 32 * 40);
  std::fill_n(x.begin(), 32, 0.0f);
  std::fill_n(x.begin() + 32, 32, 0x1p-101f);                                     // as good as zero
  for (int i = 64; i < 96; ++i) x[static_cast<size_t>(i)] = (i % 3 - 1) * 3e38f;  // the ends of float32
  x[100] = 1e30f;
  std::vector<int8_t> values(x.size()), want_values(x.size());
  std::vector<ActivationBlock> blocks(40), want(40);
  quantise_activations(x, values.data(), blocks.data());
  quantise_activations_ref(x, want_values.data(), want.data());
  EXPECT_EQ(values, want_values);
  EXPECT_EQ(std::memcmp(blocks.data(), want.data(), sizeof(ActivationBlock) * want.size()), 0);
  for (size_t i = 96 + 32; i < x.size(); ++i) {
    ASSERT_LE(std::abs(x[i] - blocks[i / 32].scale * values[i]), blocks[i / 32].scale * 0.5001f);
  }
}

TEST_P(QuantisedProducts, WhatIsNotFiniteStaysSo) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    Case c(rng_, BlockType::kQ4_0, 2, 20, 96);
    c.x[70] = bad;
    c.activations.quantise(base::serial_for, c.x);
    const auto out = c.run();
    for (size_t i = 0; i < 20; ++i) ASSERT_TRUE(std::isnan(out[i]));
    for (size_t i = 20; i < 40; ++i) ASSERT_TRUE(std::isfinite(out[i])) << "the other token";
  }
}

}  // namespace
}  // namespace dsmoe::kernels
