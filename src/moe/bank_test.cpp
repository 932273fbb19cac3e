// Banks and SwiGLU: the fast expressions against their definitions, values and gradients, and weights as layers see
// them.
#include <gtest/gtest.h>

#include <cmath>

#include "moe/swiglu.h"
#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

struct BankCase {
  const char* name;
  int64_t rows, experts, chosen, hidden, width;
  int64_t used;  ///< experts that can be chosen: the others get nothing
  bool drop;
};

class Bank : public ::testing::TestWithParam<BankCase> {
 protected:
  ExpertWork work(const Tensor& rows_RD, const Tensor& weights_RK) const {
    const BankCase& c = GetParam();
    const Tensor experts = std::get<1>(random_tensor({c.rows, c.used}, 1).topk(c.chosen, -1)) + (c.experts - c.used);
    const Tensor kept = c.drop ? random_tensor({c.rows, c.chosen}, 2) > 0 : Tensor();
    return {rows_RD, weights_RK, plan_slots(experts, kept, c.experts)};
  }
  std::vector<Tensor> inputs() const {
    const BankCase& c = GetParam();
    return {random_tensor({c.rows, c.hidden}, 3), random_tensor({c.rows, c.chosen}, 4),
            random_tensor({c.experts, 2 * c.width, c.hidden}, 5, 0.5),
            random_tensor({c.experts, c.hidden, c.width}, 6, 0.5)};
  }
  TensorFunction fast() const {
    return [this](const std::vector<Tensor>& in) {
      return ExpertBank(graph_weight(in[2]), graph_weight(in[3])).forward(work(in[0], in[1]));
    };
  }
  TensorFunction reference() const {
    return [this](const std::vector<Tensor>& in) {
      return ExpertBank(graph_weight(in[2]), graph_weight(in[3])).forward_reference(work(in[0], in[1]));
    };
  }
};

TEST_P(Bank, ValuesAndGradientsAreTheDefinitions) {
  EXPECT_LT(largest_difference(fast()(inputs()), reference()(inputs())), 1e-13);
  const auto a = gradients_of(fast(), inputs()), b = gradients_of(reference(), inputs());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_LT(largest_difference(a[i], b[i]), 1e-12) << "input " << i;
}

TEST_P(Bank, GradientsByCentralDifferences) { expect_gradients(fast(), inputs()); }

TEST_P(Bank, Bfloat16StaysWithinItsRounding) {
  std::vector<Tensor> in = inputs();
  for (Tensor& tensor : in) tensor = tensor.to(torch::kBFloat16);
  in[1] = in[1].to(torch::kFloat32);
  std::vector<Tensor> exact;
  for (const Tensor& tensor : in) exact.push_back(tensor.to(torch::kFloat64));
  const Tensor y = reference()(exact);
  // Roundings at 2^-9 each: h, silu(h) up, the expert's output and the sum; h is of order one here, and what depends on
  // it moves by a few roundings more. Ten of them, relative to the largest output.
  EXPECT_LT(largest_difference(fast()(in), y), 10 * std::ldexp(1.0, -9) * (1 + largest(y)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Bank,
                         ::testing::Values(BankCase{"odd", 5, 3, 2, 3, 2, 3, false},
                                           BankCase{"dropped", 7, 4, 3, 2, 3, 4, true},
                                           BankCase{"empty_experts", 5, 9, 2, 3, 2, 3, false},
                                           BankCase{"all_on_one", 6, 5, 1, 2, 2, 1, false},
                                           BankCase{"many_experts", 4, 20, 2, 2, 1, 20, false},
                                           BankCase{"one_row", 1, 2, 1, 3, 2, 2, false}),
                         [](const auto& info) { return info.param.name; });

TEST(ExpertBank, WithEverySlotDroppedSaysNothing) {
  const auto bank = ExpertBank(graph_weight(random_tensor({3, 4, 5}, 1)), graph_weight(random_tensor({3, 5, 2}, 2)));
  const Tensor experts = torch::zeros({4, 1}, torch::kInt64), none = torch::zeros({4, 1}, torch::kBool);
  const ExpertWork work{random_tensor({4, 5}, 3), torch::ones({4, 1}, torch::kFloat64), plan_slots(experts, none, 3)};
  EXPECT_EQ(largest(bank.forward(work)), 0);
}

TEST(Swiglu, IsSiluOfTheFirstHalfTimesTheSecond) {
  const Tensor h = torch::tensor({0.5, -1.0, 2.0, 3.0}, torch::kFloat64).view({1, 4});
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  const Tensor expected = torch::tensor({silu(0.5) * 2, silu(-1) * 3}, torch::kFloat64).view({1, 2});
  EXPECT_LT(largest_difference(swiglu(h), expected), 1e-15);
  EXPECT_LT(largest_difference(swiglu_reference(h), expected), 1e-15);
}

TEST(Swiglu, GradientsAndLayouts) {
  expect_gradients([](const std::vector<Tensor>& in) { return swiglu(in[0]); }, {random_tensor({3, 2, 6}, 1)});
  // a column slice and a transpose: nothing contiguous about them
  expect_gradients([](const std::vector<Tensor>& in) { return swiglu(in[0].transpose(0, 1).narrow(1, 1, 4)); },
                   {random_tensor({5, 3}, 2)});
  const Tensor one = random_tensor({1, 6}, 3), before = one.clone();
  swiglu(one);
  EXPECT_TRUE(one.equal(before)) << "inputs stay as they are";
}

TEST(Swiglu, InBfloat16RoundsOnce) {
  const Tensor h = random_tensor({50, 20}, 4).to(torch::kBFloat16);
  const Tensor exact = swiglu_reference(h.to(torch::kFloat64));
  const Tensor error = (swiglu(h).to(torch::kFloat64) - exact).abs() / exact.abs().clamp_min(1e-30);
  EXPECT_LT(error.max().item<double>(), std::ldexp(1.01, -8));
}

TEST(SharedBank, OfTwoIsOneOfTwiceTheWidth) {
  const auto x = random_tensor({9, 4}, 1);
  std::vector<Tensor> gate_up, down;
  Tensor sum = torch::zeros({9, 4}, torch::kFloat64);
  for (uint64_t i = 0; i < 2; ++i) {
    gate_up.push_back(random_tensor({6, 4}, 2 + i));
    down.push_back(random_tensor({4, 3}, 4 + i));
    sum += Ffn(graph_weight(gate_up[i]), graph_weight(down[i])).forward(x);
  }
  const auto half = [&](size_t i, int64_t first) { return gate_up[i].narrow(0, first, 3); };
  const Tensor fused = torch::cat({half(0, 0), half(1, 0), half(0, 3), half(1, 3)});
  EXPECT_LT(largest_difference(SharedBank(graph_weight(fused), graph_weight(torch::cat(down, 1))).forward(x), sum),
            1e-14);
}

TEST(TrainableWeight, CopyFollowsTheMasterAndGradientsComeBackInItsType) {
  Tensor master = random_tensor({3, 4}, 1).to(torch::kFloat32).requires_grad_();
  const WeightPtr weight = trainable_weight(master);
  EXPECT_TRUE(weight->get(torch::kBFloat16).equal(master.detach().to(torch::kBFloat16)));
  const void* memory = weight->get(torch::kBFloat16).data_ptr();
  {
    const torch::NoGradGuard no_grad;
    master.add_(1);
  }
  EXPECT_TRUE(weight->get(torch::kBFloat16).equal(master.detach().to(torch::kBFloat16)));
  {
    const torch::NoGradGuard no_grad;
    master.detach().narrow(0, 1, 1).fill_(7);  // through a view, as loading does
  }
  EXPECT_EQ(weight->get(torch::kBFloat16)[1][2].item<float>(), 7);
  EXPECT_EQ(weight->get(torch::kBFloat16).data_ptr(), memory) << "the copy's memory stays";
  const Tensor u = random_tensor({3, 4}, 2).to(torch::kBFloat16);
  for (int times = 1; times <= 2; ++times) {
    (weight->get(torch::kBFloat16) * u).sum().backward();
    EXPECT_EQ(master.grad().scalar_type(), torch::kFloat32);
    EXPECT_TRUE(master.grad().equal(u.to(torch::kFloat32) * times));
  }
  EXPECT_TRUE(weight->trainable().is_same(master));
}

TEST(FrozenWeight, TakesPartWithoutGradient) {
  const WeightPtr frozen = frozen_weight(random_tensor({6, 4}, 1).to(torch::kBFloat16));
  const Tensor down = random_tensor({4, 3}, 2).to(torch::kFloat32).requires_grad_();
  const Tensor x = random_tensor({5, 4}, 3).to(torch::kFloat32).requires_grad_();
  Ffn(frozen, trainable_weight(down)).forward(x).sum().backward();
  EXPECT_GT(largest(x.grad()), 0);
  EXPECT_GT(largest(down.grad()), 0);
  EXPECT_FALSE(frozen->trainable().defined());
}

}  // namespace
}  // namespace dsmoe::moe
