// Packed weights: pieces cover a master once and pack to what the whole weight packs to, in one go, by definition.
#include "moe/packed_weight.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT
using kernels::Along;
using kernels::Number;

struct PackCase {
  const char* name;
  std::vector<int64_t> sizes;
  WeightRows rows;
};

class Packed : public ::testing::TestWithParam<PackCase> {};

TEST_P(Packed, PiecesCoverTheMasterOnce) {
  const auto& [name, sizes, rows] = GetParam();
  const WeightPieces pieces(sizes, rows);
  int64_t all = 1;
  for (const int64_t size : sizes) all *= size;
  std::vector<int> seen(static_cast<size_t>(all));
  for (int64_t i = 0; i < pieces.count(); ++i) {
    for (const auto& range : pieces.ranges(i)) {
      for (int64_t at = range.begin; at < range.end; ++at) ++seen[static_cast<size_t>(at)];
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), all);
}

TEST_P(Packed, IsTheKernelsDefinition) {
  const auto& [name, sizes, rows] = GetParam();
  const bool gate_up = rows == WeightRows::kGateUp;
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    const Tensor values = random_tensor(sizes, 1).to(torch::kFloat);
    PackedWeight packed;
    pack_weight(values, type, rows, packed);
    const int64_t n = values.size(-2), k = values.size(-1), experts = values.numel() / (n * k);
    const Number to = number_of(type);
    for (int64_t e = 0; e < experts; ++e) {
      const kernels::RowsView source{values.data_ptr<float>() + e * n * k, k};
      Tensor forward = torch::full({packed.forward.size(1)}, 7, torch::dtype(type)),
             backward = forward.new_full({packed.backward.size(1)}, 7);
      if (gate_up) {
        kernels::pack_gate_up(Number::kF32, source, k, n / 2, to, forward.data_ptr());
      } else {
        kernels::pack_right_ref(Number::kF32, source, Along::kOutput, k, n, to, forward.data_ptr());
      }
      kernels::pack_right_ref(Number::kF32, source, Along::kDepth, n, k, to, backward.data_ptr());
      EXPECT_TRUE(packed.forward[e].equal(forward)) << "expert " << e;
      EXPECT_TRUE(packed.backward[e].equal(backward)) << "expert " << e;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Packed,
                         ::testing::Values(PackCase{"small", {3, 5}, WeightRows::kOutputs},
                                           PackCase{"odd", {71, 33}, WeightRows::kOutputs},
                                           PackCase{"stacked", {3, 64, 40}, WeightRows::kOutputs},
                                           PackCase{"gate_up", {2, 96, 33}, WeightRows::kGateUp},
                                           PackCase{"gate_up_tail", {3, 2 * 22, 64}, WeightRows::kGateUp},
                                           PackCase{"gate_up_odd", {2, 2 * 21, 31}, WeightRows::kGateUp},
                                           PackCase{"gate_up_flat", {64, 16}, WeightRows::kGateUp}),
                         [](const auto& info) { return info.param.name; });

TEST(TrainableWeight, IsPackedAgainPieceByPiece) {
  Tensor master = random_tensor({2, 40, 33}, 1).to(torch::kFloat).requires_grad_();
  const WeightPtr weight = trainable_weight(master);
  EXPECT_EQ(weight->pieces(), nullptr) << "nobody has asked for packed values";
  const PackedWeight before = weight->packed(torch::kBFloat16, WeightRows::kGateUp);
  const void* memory = before.forward.data_ptr();
  {
    const torch::NoGradGuard no_grad;
    master.add_(1);
  }
  for (int64_t i = 0; i < weight->pieces()->count(); ++i) weight->pack_again(i);
  weight->packed_again();
  PackedWeight wanted;
  pack_weight(master.detach(), torch::kBFloat16, WeightRows::kGateUp, wanted);
  const PackedWeight got = weight->packed(torch::kBFloat16, WeightRows::kGateUp);
  EXPECT_EQ(got.forward.data_ptr(), memory);
  EXPECT_TRUE(got.forward.equal(wanted.forward));
  EXPECT_TRUE(got.backward.equal(wanted.backward));
  {
    const torch::NoGradGuard no_grad;
    master.detach().fill_(3);  // somebody else changes it: seen by its version
  }
  EXPECT_FALSE(weight->packed(torch::kBFloat16, WeightRows::kGateUp).forward.equal(wanted.forward));
}

}  // namespace
}  // namespace dsmoe::moe
