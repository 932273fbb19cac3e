// The mixture layer as a whole: the paper's laws, and what every registered gate must do inside it.
#include <gtest/gtest.h>

#include "moe/testing.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT

Tensor expert(const Tensor& x, const Tensor& gate_up, const Tensor& down) {
  return swiglu_reference(x.matmul(gate_up.t())).matmul(down.t());
}

TEST(MoeLayer, OfOneExpertIsADenseFfn) {
  const spec::ModelConfig config = small_config(1, 1, 0);
  const auto w = random_weights(config);
  const Tensor x = random_tensor({11, 6}, 9);
  const MoeOutput out = layer_of(config, {}, w).forward(x, context_of(11), 0);
  EXPECT_LT(largest_difference(out.y_TD, expert(x, w[1][0], w[2][0])), 1e-14);  // its softmax is 1
}

TEST(MoeLayer, WithAllExpertsChosenIsASum) {
  const spec::ModelConfig config = small_config(5, 5);
  const auto w = random_weights(config);
  const Tensor x = random_tensor({7, 6}, 9);
  const Tensor gates = torch::softmax(x.matmul(w[0].t()), -1);
  Tensor sum = expert(x, w[3], w[4]);
  for (int64_t e = 0; e < 5; ++e) sum = sum + gates.select(1, e).unsqueeze(1) * expert(x, w[1][e], w[2][e]);
  EXPECT_LT(largest_difference(layer_of(config, {}, w).forward(x, context_of(7), 0).y_TD, sum), 1e-14);
}

TEST(MoeLayer, IsThePapersEquationTokenByToken) {
  const spec::ModelConfig config = small_config(8, 3, 2);
  const auto w = random_weights(config);
  const Tensor x = random_tensor({13, 6}, 9);
  const MoeOutput out = layer_of(config, {}, w).forward(x, context_of(13), 0);
  for (int64_t t = 0; t < 13; ++t) {
    const Tensor u = x.narrow(0, t, 1), s = torch::softmax(u.matmul(w[0].t()), -1)[0];
    const double least = std::get<0>(s.topk(3))[2].item<double>();
    Tensor h = expert(u, w[3], w[4]);
    for (int64_t e = 0; e < 8; ++e) {
      const double gate = s[e].item<double>();
      if (gate >= least) h = h + gate * expert(u, w[1][e], w[2][e]);
    }
    EXPECT_LT(largest_difference(out.y_TD.narrow(0, t, 1), h), 1e-14);
  }
}

// Paper section 3.2: an expert of width F cut into m of width F/m whose affinities are tied computes the same. Tied
// affinities split the probability by m, which gates of m times the scale undo.
TEST(MoeLayer, SegmentedWithTiedWeightsEqualsUnsegmented) {
  spec::ModelConfig whole = small_config(4, 1, 0);
  whole.moe_intermediate_size = 6;
  whole.n_group = whole.topk_group = 1;
  spec::ModelConfig fine = whole;
  constexpr int64_t kM = 2;
  fine.n_routed_experts = 4 * kM;
  fine.num_experts_per_tok = kM;
  fine.moe_intermediate_size = 6 / kM;
  fine.routed_scaling_factor = kM;
  const auto w = random_weights(whole);
  const Tensor gate = w[1].narrow(1, 0, 6).reshape({8, 3, 6}), up = w[1].narrow(1, 6, 6).reshape({8, 3, 6});
  const Tensor down = w[2].view({4, 6, kM, 3}).transpose(1, 2).reshape({8, 6, 3});
  const std::vector<Tensor> cut{w[0].repeat_interleave(kM, 0), torch::cat({gate, up}, 1), down};
  const Tensor x = random_tensor({17, 6}, 9);
  const Tensor a = layer_of(whole, {}, w).forward(x, context_of(17), 0).y_TD;
  const Tensor b = layer_of(fine, {}, cut).forward(x, context_of(17), 0).y_TD;
  EXPECT_LT(largest_difference(a, b), 1e-14);
}

TEST(MoeLayer, DroppedEverywhereLeavesTheSharedExperts) {
  const spec::ModelConfig config = small_config(8, 2);
  const auto w = random_weights(config);
  const Tensor x = random_tensor({64, 6}, 9).abs();
  TrainingOptions training;
  training.capacity_factor = 1e-9;  // one slot an expert
  const MoeOutput out = layer_of(config, training, w).forward(x, context_of(64, true), 0);
  EXPECT_GE(out.routing.dropped(), 64 * 2 - 8);
  const Tensor lost = out.routing.kept_TK.any(1).logical_not();
  EXPECT_LT(largest_difference(out.y_TD.index({lost}), expert(x, w[3], w[4]).index({lost})), 1e-14);
  EXPECT_EQ(layer_of(config, training, w).forward(x, context_of(64, false), 0).routing.dropped(), 0)
      << "capacity belongs to training";
}

class EveryLayer : public ::testing::TestWithParam<GateKind> {
 protected:
  EveryLayer() {
    GetParam().configure(config_);
    training_.aux_loss_alpha = 0.3;
    training_.device_aux_loss_alpha = 0.2;
    training_.comm_aux_loss_alpha = 0.1;
    training_.n_device_groups = 4;
    training_.z_loss_alpha = 0.05;
  }
  spec::ModelConfig config_ = small_config(8, 3);
  TrainingOptions training_;
};

TEST_P(EveryLayer, GradientsOfOutputAndBalanceLoss) {
  std::vector<Tensor> inputs = random_weights(config_);
  inputs.insert(inputs.begin(), random_tensor({6, 6}, 12));
  expect_gradients(
      [&](const std::vector<Tensor>& in) {
        const MoeLayer layer = layer_of(config_, training_, {in.begin() + 1, in.end()});
        const MoeOutput out = layer.forward(in[0], context_of(6, true, 2), 0);
        return torch::cat({out.y_TD.flatten(), out.balance_loss.view({1})});
      },
      inputs);
}

TEST_P(EveryLayer, ATokensOutputDoesNotDependOnItsNeighbours) {
  const MoeLayer layer = layer_of(config_, {}, random_weights(config_));
  const Tensor x = random_tensor({10, 6}, 13);
  const Tensor all = layer.forward(x, context_of(10), 0).y_TD;
  for (int64_t t = 0; t < 10; ++t) {
    MoeContext alone = context_of(1);
    alone.token_ids_T = some_ids(10).narrow(0, t, 1);
    EXPECT_LT(largest_difference(layer.forward(x.narrow(0, t, 1), alone, 0).y_TD, all.narrow(0, t, 1)), 1e-14);
  }
}

TEST_P(EveryLayer, EvaluationHasNoBalanceLossAndDropsNothing) {
  training_.capacity_factor = 0.5;
  training_.random_second_expert = true;
  const MoeLayer layer = layer_of(config_, training_, random_weights(config_));
  const MoeOutput out = layer.forward(random_tensor({30, 6}, 14), context_of(30), 0);
  EXPECT_EQ(out.balance_loss.item<double>(), 0);
  EXPECT_EQ(out.routing.dropped(), 0);
  EXPECT_FALSE(out.routing.kept_TK.defined());
}

TEST_P(EveryLayer, PaddingChangesNothingForRealTokens) {
  training_.capacity_factor = 0.7;
  const MoeLayer layer = layer_of(config_, training_, random_weights(config_));
  const Tensor x = random_tensor({12, 6}, 15);
  MoeContext padded = context_of(12, true);
  padded.mask_T = torch::arange(12) < 9;
  padded.total_tokens = 9;
  const MoeOutput a = layer.forward(x, padded, 0), b = layer.forward(x.narrow(0, 0, 9), context_of(9, true), 0);
  EXPECT_LT(largest_difference(a.y_TD.narrow(0, 0, 9), b.y_TD), 1e-14);
  EXPECT_NEAR(a.balance_loss.item<double>(), b.balance_loss.item<double>(), 1e-14);
  EXPECT_EQ(a.routing.dropped(), b.routing.dropped());
  EXPECT_TRUE(a.routing.counts_E(8).equal(b.routing.counts_E(8)));
}

INSTANTIATE_TEST_SUITE_P(Registered, EveryLayer, ::testing::ValuesIn(gate_kinds()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dsmoe::moe
