// The embedding's kernel path against LibTorch's expression: values, gradients of repeated ids, any number of threads.
#include "model/embedding.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "moe/composed.h"
#include "moe/testing.h"

namespace dsmoe::model {
namespace {

using namespace moe::testing;  // NOLINT

class Embedding : public ::testing::TestWithParam<torch::ScalarType> {
 protected:
  using Function = Tensor (*)(const Tensor&, const moe::WeightPtr&, torch::ScalarType);
  /// Output and gradient of a table [11, 70] at ids that repeat, for a cotangent of small integers: sums are exact, so
  /// both expressions must give the same bits.
  std::pair<Tensor, Tensor> run(Function function, int threads) const {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const Tensor table = random_tensor({11, 70}, 1).to(torch::kFloat).requires_grad_();
    const Tensor ids = torch::arange(300, torch::kInt64).square().remainder(11);
    const Tensor y = function(ids, moe::trainable_weight(table), GetParam());
    const Tensor cotangent = torch::arange(y.numel(), torch::kInt64).remainder(7).sub(3).view(y.sizes());
    (y * cotangent.to(y.scalar_type())).sum().backward();
    at::set_num_threads(before);
    return {y.detach(), table.grad()};
  }
};

TEST_P(Embedding, IsLibTorchsToTheBit) {
  if (moe::composed(torch::zeros({1}))) GTEST_SKIP() << "DSMOE_COMPOSED leaves the kernels out";
  const auto [wanted, wanted_gradient] = run(embed_reference, 1);
  for (const int threads : {1, 2, 3}) {
    const auto [got, gradient] = run(embed, threads);
    EXPECT_EQ(got.scalar_type(), GetParam());
    EXPECT_TRUE(got.equal(wanted));
    EXPECT_TRUE(gradient.equal(wanted_gradient));
  }
}

TEST_P(Embedding, AddsIntoTheLeafsGradient) {
  Tensor table = torch::zeros({3, 2}).requires_grad_();
  table.mutable_grad() = torch::full({3, 2}, 10.0F);
  const void* memory = table.grad().data_ptr();
  embed(torch::tensor({2, 0, 2}, torch::kInt64), moe::trainable_weight(table), GetParam()).sum().backward();
  EXPECT_TRUE(table.grad().equal(torch::tensor({11.0F, 11.0F, 10.0F, 10.0F, 12.0F, 12.0F}).view({3, 2})));
  EXPECT_EQ(table.grad().data_ptr(), memory);
}

INSTANTIATE_TEST_SUITE_P(Types, Embedding, ::testing::Values(torch::kFloat, torch::kBFloat16),
                         [](const auto& info) { return std::string(torch::toString(info.param)); });

}  // namespace
}  // namespace dsmoe::model
