// Router arithmetic on the kernels against its LibTorch expressions, with gradients.
#include "moe/selection.h"

#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

// float32 against float64: softmax and sums over some hundred terms, each with a few roundings.
constexpr double kBound = 1e-5;

TEST(Selection, SoftmaxChoiceIsItsDefinition) {
  for (const auto& [tokens, experts, chosen] : {std::tuple{1, 1, 1}, std::tuple{6, 5, 2}, std::tuple{300, 63, 7}}) {
    const Tensor logits = random_tensor({tokens, experts}, 1).to(torch::kFloat32).to(torch::kFloat64);
    for (const int part : {0, 1, 2}) {  // gradients through scores, through values, through both
      const auto run = [&, k = chosen](torch::ScalarType type) {
        return [=](const std::vector<Tensor>& in) {
          const SoftmaxChoice choice = softmax_choice(in[0].to(type), k);
          if (part == 0) return choice.scores_TE;
          return part == 1 ? choice.values_TK : torch::cat({choice.values_TK, choice.scores_TE * 3}, 1);
        };
      };
      EXPECT_LT(largest_difference(run(torch::kFloat32)({logits}), run(torch::kFloat64)({logits})), kBound);
      EXPECT_LT(largest_difference(gradients_of(run(torch::kFloat32), {logits})[0],
                                   gradients_of(run(torch::kFloat64), {logits})[0]),
                10 * kBound);
      if (tokens < 10) expect_gradients(run(torch::kFloat64), {logits});
    }
    const Tensor fast = softmax_choice(logits.to(torch::kFloat32), chosen).experts_TK;
    EXPECT_TRUE(fast.equal(softmax_choice_reference(logits, chosen).experts_TK));
    EXPECT_TRUE(fast.equal(best_experts(logits.to(torch::kFloat32), chosen)));
  }
}

TEST(Selection, SumByScopeIsItsDefinition) {
  const Tensor x = random_tensor({60, 9}, 2).to(torch::kFloat32).to(torch::kFloat64);
  const Sequences equal = Sequences::equal(3, 20), unequal = Sequences::of_lengths(std::vector<int64_t>{1, 0, 40, 19});
  for (const auto& [mask, scopes] : {std::pair{Tensor(), equal}, std::pair{torch::arange(60).remainder(4).ne(1), equal},
                                     std::pair{torch::arange(60).remainder(4).ne(1), unequal}}) {
    const auto run = [&](torch::ScalarType type) {
      return [mask = mask, scopes = scopes, type](const std::vector<Tensor>& in) {
        return sum_by_scope(in[0].to(type), mask, scopes);
      };
    };
    EXPECT_LT(largest_difference(run(torch::kFloat32)({x}), run(torch::kFloat64)({x})), kBound);
    EXPECT_LT(
        largest_difference(gradients_of(run(torch::kFloat32), {x})[0], gradients_of(run(torch::kFloat64), {x})[0]),
        kBound);
    expect_gradients(run(torch::kFloat64), {x});
  }
}

}  // namespace
}  // namespace dsmoe::moe
