// Weights that stay as they are stored: products and values to the bit as over the same numbers in memory, packed a few
// at a time and in parts.
#include "moe/stored_weight.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "kernels/product.h"
#include "moe/linear.h"
#include "moe/swiglu_bank.h"
#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

/// Matrices of random blocks of Q4_0, one after another.
struct Blocks {
  Blocks(int64_t count, int64_t rows, int64_t cols) : rows(rows), cols(cols) {
    base::Rng rng(3);
    values.resize(static_cast<size_t>(count * rows * cols / 32));
    for (kernels::BlockQ4_0& block : values) {
      block.d = static_cast<uint16_t>(0x2000 + rng.below(0x800));  // half floats about 2^-7
      for (uint8_t& q : block.q) q = static_cast<uint8_t>(rng.below(256));
    }
  }
  StoredMatrix matrix(int64_t i, std::vector<int32_t> order = {}) const {
    return {{kernels::WeightType::kQ4_0, values.data() + i * rows * cols / 32, rows, cols}, std::move(order)};
  }
  int64_t rows, cols;
  std::vector<kernels::BlockQ4_0> values;
};

/// y of linear() over `weight` and the gradient of x.
std::pair<Tensor, Tensor> product(const WeightPtr& weight, torch::ScalarType type) {
  const Tensor x = random_tensor({5, weight->sizes().back()}, 2).to(type).detach().requires_grad_();
  const Tensor y = linear(x, weight);
  y.backward(random_tensor(y.sizes().vec(), 4).to(type));
  return {y, x.grad()};
}

TEST(StoredWeight, MultipliesInPartsToTheSameBits) {
  for (const auto& [rows, cols] : {std::pair{640, 1024}, {1000, 256}, {31, 512}, {33, 512}, {656, 768}}) {
    const Blocks blocks(1, rows, cols);
    for (const int64_t together : {int64_t{1}, int64_t{1} << 16, int64_t{1} << 25}) {
      const auto stored =
          stored_weight({rows, cols}, {{blocks.matrix(0)}}, torch::kFloat, std::make_shared<PackedMemory>(together));
      const auto frozen = frozen_weight(stored->get(torch::kFloat));
      for (const auto type : {torch::kFloat, torch::kBFloat16}) {
        const auto got = product(stored, type), want = product(frozen, type);
        EXPECT_TRUE(got.first.equal(want.first)) << rows << " by " << cols << ", together " << together;
        EXPECT_TRUE(got.second.equal(want.second)) << rows << " by " << cols << ", together " << together;
      }
    }
  }
}

TEST(StoredWeight, ReadsRowsInAnyOrder) {
  const Blocks blocks(2, 64, 64);
  std::vector<int32_t> reversed, halves;
  for (int32_t i = 0; i < 64; ++i) reversed.push_back(63 - i), halves.push_back(i % 32 * 2 + i / 32);
  for (const auto& order : {reversed, halves}) {
    const auto stored = stored_weight({128, 64}, {{blocks.matrix(0, order), blocks.matrix(1)}}, torch::kFloat,
                                      std::make_shared<PackedMemory>());
    const auto frozen = frozen_weight(stored->get(torch::kFloat));
    const auto got = product(stored, torch::kBFloat16), want = product(frozen, torch::kBFloat16);
    EXPECT_TRUE(got.first.equal(want.first));
    EXPECT_TRUE(got.second.equal(want.second));
    std::vector<float> row(64);
    kernels::weight_row(blocks.matrix(0).values, order[5], row);
    const Tensor read = stored->rows_at(torch::tensor({5, 70}, torch::kInt64), torch::kFloat);
    EXPECT_TRUE(read[0].equal(torch::tensor(row)));
    EXPECT_TRUE(read.equal(stored->get(torch::kFloat).index_select(0, torch::tensor({5, 70}, torch::kInt64))));
  }
}

// Experts without rows are left out; the others come a few at a time.
TEST(StoredWeight, WalksStacksAFewExpertsAtATime) {
  const Blocks gates(5, 64, 64), ups(5, 64, 64);
  std::vector<std::vector<StoredMatrix>> experts;
  for (int64_t e = 0; e < 5; ++e) experts.push_back({gates.matrix(e), ups.matrix(4 - e)});
  for (const int64_t together : {1, 40'000, 1 << 25}) {
    const auto stored = stored_weight({5, 128, 64}, experts, torch::kFloat, std::make_shared<PackedMemory>(together));
    for (const auto rows : {WeightRows::kOutputs, WeightRows::kGateUp}) {
      for (const auto layout : {Layout::kForward, Layout::kBackward}) {
        const PackedWeight all = frozen_weight(stored->get(torch::kFloat))->packed(torch::kBFloat16, rows);
        std::vector<int64_t> seen;
        const std::vector<int64_t> places{0, 2, 3};
        stored->each_packed(torch::kBFloat16, rows, layout, places, [&](const PackedPlaces& packed) {
          for (int64_t e = 0; e < 5; ++e) {
            if (!packed.of(e)) continue;
            seen.push_back(e);
            const Tensor& whole = layout == Layout::kForward ? all.forward : all.backward;
            const void* want = layout == Layout::kForward ? all.forward_of(e) : all.backward_of(e);
            EXPECT_EQ(std::memcmp(packed.of(e), want, static_cast<size_t>(whole.stride(0) * 2)), 0) << e;
          }
        });
        EXPECT_EQ(seen, places);
      }
    }
  }
}

}  // namespace
}  // namespace dsmoe::moe
