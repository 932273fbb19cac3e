// The kernel path of linear layers and banks against their definitions in double, values and gradients; gradients that
// go straight into a leaf's memory; sums that do not depend on threads; and banks cut over two pretended ranks.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "moe/composed.h"
#include "moe/linear.h"
#include "moe/swiglu_bank.h"
#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

struct KernelCase {
  const char* name;
  torch::ScalarType type;
  int64_t rows, experts, chosen, hidden, width;
  int64_t used;  ///< experts that can be chosen: the others get nothing
  bool drop;
  /// One rounding of the type, relative.
  double rounding() const { return std::ldexp(1.0, type == torch::kFloat ? -24 : -9); }
};

/// Values whose products of a few factors are of order one, rounded to the type so that the definition sees the same.
std::vector<Tensor> rounded(std::vector<Tensor> values, torch::ScalarType type) {
  for (Tensor& value : values) value = value.to(type).to(torch::kFloat64);
  return values;
}
std::vector<Tensor> in_type(const std::vector<Tensor>& values, torch::ScalarType type) {
  std::vector<Tensor> out;
  for (const Tensor& value : values) out.push_back(value.to(type));
  return out;
}

class KernelPath : public ::testing::TestWithParam<KernelCase> {
 protected:
  void SetUp() override {
    if (composed(torch::zeros({1}, GetParam().type))) GTEST_SKIP() << "DSMOE_COMPOSED leaves the kernels out";
  }

  SlotPlan plan() const {
    const KernelCase& c = GetParam();
    const Tensor experts = std::get<1>(random_tensor({c.rows, c.used}, 1).topk(c.chosen, -1)) + (c.experts - c.used);
    return plan_slots(experts, c.drop ? random_tensor({c.rows, c.chosen}, 2) > 0 : Tensor(), c.experts);
  }
  /// rows, slot weights, gate_up, down
  std::vector<Tensor> inputs() const {
    const KernelCase& c = GetParam();
    const double scale = 1 / std::sqrt(static_cast<double>(c.hidden));
    return rounded({random_tensor({c.rows, c.hidden}, 3), random_tensor({c.rows, c.chosen}, 4),
                    random_tensor({c.experts, 2 * c.width, c.hidden}, 5, scale),
                    random_tensor({c.experts, c.hidden, c.width}, 6, 1 / std::sqrt(double(c.width)))},
                   c.type);
  }
  Tensor bank(const std::vector<Tensor>& in, const SlotPlan& plan) const {
    const ExpertBank bank(graph_weight(in[2]), graph_weight(in[3]));
    const ExpertWork work{in[0], in[1].to(wide_of(in[0])), plan};
    return in[0].scalar_type() == torch::kFloat64 ? bank.forward_reference(work) : bank.forward(work);
  }
  static torch::ScalarType wide_of(const Tensor& x) {
    return x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat;
  }
  /// What the type's rounding may do to a result: every factor on the way (h, its gradient, hidden rows, the output) is
  /// rounded once, and float32 sums of n terms err by n roundings of 2^-24; relative to the largest value, since terms
  /// of either sign cancel. Twelve roundings leave room for the slopes of silu.
  double bound(const Tensor& exact, int64_t terms) const {
    return (12 * GetParam().rounding() + static_cast<double>(terms) * 0x1p-24) * (largest(exact) + 1e-30) * 4;
  }
};

TEST_P(KernelPath, BankValuesAndGradientsAreTheDefinitions) {
  const KernelCase& c = GetParam();
  const SlotPlan slots = plan();
  const auto f = [&](const std::vector<Tensor>& in) { return bank(in, slots); };
  const Tensor exact = f(inputs());
  EXPECT_LE(largest_difference(f(in_type(inputs(), c.type)), exact), bound(exact, c.hidden + c.width));
  // gradients_of makes a cotangent in the type of the result: rounded for one of the two, so rounding enters once more
  const auto wanted = gradients_of(f, inputs()), got = gradients_of(f, in_type(inputs(), c.type));
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_LE(largest_difference(got[i], wanted[i]), bound(wanted[i], c.rows + c.hidden + 2 * c.width))
        << "input " << i;
  }
}

TEST_P(KernelPath, LinearIsTheDefinition) {
  const KernelCase& c = GetParam();
  const auto values = rounded({random_tensor({c.rows, c.hidden}, 1), random_tensor({c.width, c.hidden}, 2),
                               random_tensor({c.rows, c.width}, 3)},
                              c.type);
  const auto f = [&](const std::vector<Tensor>& in) {
    const bool exact = in[0].scalar_type() == torch::kFloat64;
    return (exact ? linear_reference : linear)(in[0], graph_weight(in[1]), in[2]);
  };
  const Tensor exact = f(values);
  EXPECT_LE(largest_difference(f(in_type(values, c.type)), exact), bound(exact, c.hidden));
  const auto wanted = gradients_of(f, values), got = gradients_of(f, in_type(values, c.type));
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_LE(largest_difference(got[i], wanted[i]), bound(wanted[i], c.rows + c.width)) << "input " << i;
  }
}

TEST_P(KernelPath, BitsDoNotDependOnThreads) {
  const KernelCase& c = GetParam();
  const SlotPlan slots = plan();
  const auto f = [&](const std::vector<Tensor>& in) { return bank(in, slots); };
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor y = f(in_type(inputs(), c.type));
  const auto gradients = gradients_of(f, in_type(inputs(), c.type));
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(y.equal(f(in_type(inputs(), c.type))));
    const auto again = gradients_of(f, in_type(inputs(), c.type));
    for (size_t i = 0; i < again.size(); ++i) EXPECT_TRUE(gradients[i].equal(again[i])) << "input " << i;
  }
  at::set_num_threads(before);
}

TEST_P(KernelPath, GradientsGoIntoTheLeafsMemoryAndAddUp) {
  const KernelCase& c = GetParam();
  const SlotPlan slots = plan();
  const auto in = in_type(inputs(), c.type);
  const auto u = random_tensor({c.rows, c.hidden}, 9).to(c.type);
  std::vector<Tensor> leaves;
  for (size_t i = 2; i < 4; ++i) leaves.push_back(in[i].to(torch::kFloat).requires_grad_());
  const ExpertBank bank(trainable_weight(leaves[0]), trainable_weight(leaves[1]));
  const auto backward = [&] { (bank.forward({in[0], in[1].to(torch::kFloat), slots}) * u).sum().backward(); };
  backward();  // no memory yet: autograd takes the tensors
  const std::vector<Tensor> once{leaves[0].grad().clone(), leaves[1].grad().clone()};
  for (Tensor& leaf : leaves) leaf.mutable_grad().zero_();
  const void* memory = leaves[0].grad().data_ptr();
  backward();
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(leaves[i].grad().equal(once[i]));
  backward();
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(leaves[i].grad().equal(once[i] + once[i]));
  EXPECT_EQ(leaves[0].grad().data_ptr(), memory);
}

// Two ranks hold half of the experts each; rows travel with local expert ids and weights, as an all-to-all would bring
// them, and what both say is added at home.
TEST_P(KernelPath, BanksCutOverTwoRanksSayTheSame) {
  const KernelCase& c = GetParam();
  if (c.experts % 2 != 0) GTEST_SKIP() << "an odd number of experts";
  const auto in = in_type(inputs(), c.type);
  const Tensor experts = std::get<1>(random_tensor({c.rows, c.used}, 1).topk(c.chosen, -1)) + (c.experts - c.used);
  const Tensor whole = bank(in, plan_slots(experts, {}, c.experts));
  Tensor sum = torch::zeros_like(whole, torch::kFloat64);
  const int64_t half = c.experts / 2;
  for (int64_t rank = 0; rank < 2; ++rank) {
    const Tensor here = experts.ge(rank * half).logical_and(experts.lt((rank + 1) * half));
    const Tensor sent = here.any(1).nonzero().view(-1);  // rows this rank receives
    if (sent.numel() == 0) continue;
    const auto of = [&](const Tensor& x) { return x.index_select(0, sent); };
    const SlotPlan local = plan_slots((of(experts) - rank * half).clamp(0, half - 1), of(here), half);
    const Tensor out =
        bank({of(in[0]), of(in[1]), in[2].narrow(0, rank * half, half), in[3].narrow(0, rank * half, half)}, local);
    sum.index_add_(0, sent, out.to(torch::kFloat64));
  }
  EXPECT_LE(largest_difference(sum, whole), 4 * c.rounding() * (largest(whole) + 1e-30));
}

constexpr auto kF32 = torch::kFloat;
constexpr auto kBf16 = torch::kBFloat16;
INSTANTIATE_TEST_SUITE_P(Shapes, KernelPath,
                         ::testing::Values(KernelCase{"odd_f32", kF32, 13, 4, 2, 7, 5, 4, false},
                                           KernelCase{"odd_bf16", kBf16, 13, 4, 2, 7, 5, 4, false},
                                           KernelCase{"dropped_f32", kF32, 40, 6, 3, 33, 17, 6, true},
                                           KernelCase{"dropped_bf16", kBf16, 40, 6, 3, 33, 17, 6, true},
                                           KernelCase{"empty_experts", kBf16, 70, 8, 2, 64, 48, 3, false},
                                           KernelCase{"all_on_one", kBf16, 150, 4, 1, 32, 16, 1, false},
                                           KernelCase{"all_on_one_f32", kF32, 150, 4, 1, 32, 16, 1, false},
                                           KernelCase{"one_row", kBf16, 1, 2, 1, 3, 2, 2, false}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dsmoe::moe
