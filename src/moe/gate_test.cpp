// Gates: the paper's worked numbers, naive oracles, and laws that every registered gate keeps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "moe/golden.h"
#include "moe/gshard_gate.h"

namespace dsmoe::moe {
namespace {

using namespace testing;  // NOLINT
using spec::ScoringFunc;
using spec::TopkMethod;

constexpr double kPrinted = 6e-7;  // golden values are printed to six digits

TEST(Golden, SoftmaxTopTwo) {
  const Routing routing = golden_routing(golden_config());
  EXPECT_TRUE(routing.experts_TK.equal(ids({0, 3, 5, 2, 0, 5, 4, 3, 1, 6, 5, 7}, 2)));
  EXPECT_LT(largest_difference(routing.weights_TK, rows({.333458, .188390, .440282, .229159, .492277, .200145,  //
                                                         .629235, .117743, .498365, .160828, .339149, .187437},
                                                        2)),
            kPrinted);
}

TEST(Golden, Renormalised) {
  spec::ModelConfig config = golden_config();
  config.norm_topk_prob = true;
  const Tensor expected = rows({.638994, .361006, .657686, .342314, .710950, .289050,  //
                                .842374, .157626, .756023, .243977, .644053, .355947},
                               2);
  EXPECT_LT(largest_difference(golden_routing(config).weights_TK, expected), kPrinted);
  config.norm_topk_prob = false;
  config.router_type = spec::RouterType::kGshard;
  EXPECT_LT(largest_difference(golden_routing(config).weights_TK, expected), kPrinted);
}

TEST(Golden, DeepSeekV3PicksWithBiasAndWeighsWithout) {
  spec::ModelConfig config = golden_config();
  config.topk_method = TopkMethod::kNoauxTc;
  config.scoring_func = ScoringFunc::kSigmoid;
  config.norm_topk_prob = true;
  const Tensor bias = torch::tensor({0., 0., 0., 0., 0., -.5, 0., .3}, torch::kFloat64);
  const Tensor expected = rows({.703370, .296630, .660980, .339020, .542884, .457116,  //
                                .612339, .387661, .564591, .435409, .502397, .497603},
                               2);
  Routing routing = golden_routing(config, bias);
  EXPECT_TRUE(routing.experts_TK.equal(ids({0, 7, 2, 7, 0, 6, 4, 7, 1, 6, 7, 0}, 2)));
  EXPECT_LT(largest_difference(routing.weights_TK, expected), kPrinted);
  config.routed_scaling_factor = 2.5;
  routing = golden_routing(config, bias);
  EXPECT_LT(largest_difference(routing.weights_TK, expected * 2.5), 3 * kPrinted);
}

/// What a token may pick, ranked by loops: V2 takes the best topk_group groups by maximum, V3 by the best two biased.
std::vector<int64_t> naive_choice(std::vector<double> rank, const spec::ModelConfig& c) {
  const int64_t size = c.n_routed_experts / c.n_group;
  if (c.topk_method != TopkMethod::kGreedy) {
    std::vector<std::pair<double, int64_t>> groups;
    for (int64_t g = 0; g < c.n_group; ++g) {
      std::vector<double> members(rank.begin() + g * size, rank.begin() + (g + 1) * size);
      std::sort(members.rbegin(), members.rend());
      const bool two = c.topk_method == TopkMethod::kNoauxTc && size > 1;
      groups.emplace_back(two ? members[0] + members[1] : members[0], g);
    }
    std::sort(groups.rbegin(), groups.rend());
    for (int64_t i = c.topk_group; i < c.n_group; ++i) {
      for (int64_t j = 0; j < size; ++j) {
        rank[static_cast<size_t>(groups[static_cast<size_t>(i)].second * size + j)] = -1e300;
      }
    }
  }
  std::vector<int64_t> order(rank.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return rank[static_cast<size_t>(a)] > rank[static_cast<size_t>(b)]; });
  order.resize(static_cast<size_t>(c.num_experts_per_tok));
  return order;
}

class EveryGate : public ::testing::TestWithParam<GateKind> {
 protected:
  EveryGate() { GetParam().configure(config_); }
  Routing route(const Tensor& x_TD, const Tensor& router, const TrainingOptions& training = {}, uint64_t key = 0) {
    GateInput input;
    input.x_TD = x_TD;
    input.token_ids_T = some_ids(x_TD.size(0));
    input.training = training.random_second_expert;
    input.random_key = key;
    return make_gate(config_, training, gate_tensors(config_, router))->route(input);
  }
  spec::ModelConfig config_ = small_config(12, 3);
};

TEST_P(EveryGate, IsTheOneItsConfigurationAsksFor) {
  int matching = 0;
  for (const GateKind& kind : gate_kinds()) matching += kind.matches(config_);
  EXPECT_EQ(matching, 1);
  EXPECT_TRUE(GetParam().matches(config_));
}

TEST_P(EveryGate, ChoosesDistinctExpertsAndCountsSumToTokensTimesChosen) {
  const Tensor x = random_tensor({37, 6}, 2), router = random_tensor({12, 6}, 3);
  const Routing routing = route(x, router);
  ASSERT_EQ(routing.experts_TK.sizes(), (std::vector<int64_t>{37, config_.num_experts_per_tok}));
  EXPECT_EQ(routing.counts_E(12).sum().item<int64_t>(), 37 * config_.num_experts_per_tok);
  for (int64_t t = 0; t < 37; ++t) {
    EXPECT_EQ(std::get<0>(torch::_unique(routing.experts_TK[t])).numel(), config_.num_experts_per_tok);
  }
}

TEST_P(EveryGate, AgreesWithLoops) {
  if (!config_.has_router_weight()) return;  // the table is the definition, tested below
  const Tensor x = random_tensor({29, 6}, 4), router = random_tensor({12, 6}, 5);
  const Routing routing = route(x, router);
  const Tensor logits = x.matmul(router.t());
  const Tensor bias = gate_tensors(config_, router).bias_E;
  for (int64_t t = 0; t < 29; ++t) {
    std::vector<double> score(12), rank(12);
    double sum = 0;
    for (int64_t e = 0; e < 12; ++e) sum += std::exp(logits[t][e].item<double>());
    for (size_t e = 0; e < 12; ++e) {
      const double logit = logits[t][static_cast<int64_t>(e)].item<double>();
      score[e] = config_.scoring_func == ScoringFunc::kSoftmax ? std::exp(logit) / sum : 1 / (1 + std::exp(-logit));
      rank[e] = score[e] + (config_.has_router_bias() ? bias[static_cast<int64_t>(e)].item<double>() : 0);
    }
    const auto chosen = naive_choice(rank, config_);
    double picked = 0;
    for (const int64_t e : chosen) picked += score[static_cast<size_t>(e)];
    for (size_t k = 0; k < chosen.size(); ++k) {
      const auto column = static_cast<int64_t>(k);
      EXPECT_EQ(routing.experts_TK[t][column].item<int64_t>(), chosen[k]);
      const double weight = score[static_cast<size_t>(chosen[k])] / (config_.normalizes_gates() ? picked : 1);
      EXPECT_NEAR(routing.weights_TK[t][column].item<double>(), weight, 1e-8);  // GShard adds 1e-9 to its sum
    }
  }
}

TEST_P(EveryGate, GradientsOfWeightsAndAffinities) {
  if (!config_.has_router_weight()) return;  // nothing to learn
  const std::vector<Tensor> inputs{random_tensor({5, 6}, 6), random_tensor({12, 6}, 7)};
  expect_gradients(
      [&](const std::vector<Tensor>& in) {
        const Routing r = route(in[0], in[1]);
        return torch::cat({r.weights_TK, r.scores_TE, r.logits_TE, r.probabilities_TE()}, 1);
      },
      inputs);
}

TEST_P(EveryGate, RouterComputesInFloat32WhateverComesIn) {
  if (!config_.has_router_weight()) return;
  const Tensor router = random_tensor({12, 6}, 8).to(torch::kFloat32);
  const Tensor x = random_tensor({9, 6}, 9).to(torch::kBFloat16);
  const Routing routing = route(x, router);
  EXPECT_EQ(routing.scores_TE.scalar_type(), torch::kFloat32);
  EXPECT_EQ(routing.weights_TK.scalar_type(), torch::kFloat32);
  EXPECT_LT(largest_difference(routing.logits_TE, x.to(torch::kFloat64).matmul(router.to(torch::kFloat64).t())), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Registered, EveryGate, ::testing::ValuesIn(gate_kinds()),
                         [](const auto& info) { return info.param.name; });

TEST(SwitchGate, IsTheRawProbabilityEvenWhereNormalisingIsAskedFor) {
  spec::ModelConfig config = golden_config();
  config.num_experts_per_tok = 1;
  config.norm_topk_prob = true;
  const Routing routing = golden_routing(config);
  EXPECT_LT(largest_difference(routing.weights_TK, rows({.333458, .440282, .492277, .629235, .498365, .339149}, 1)),
            kPrinted);
}

TEST(HashGate, IsTheTableWithoutMultiplier) {
  spec::ModelConfig config = small_config(8, 2);
  config.router_type = spec::RouterType::kHash;
  const GateTensors tensors = gate_tensors(config, {});
  GateInput input;
  input.x_TD = random_tensor({20, 6}, 1);
  input.token_ids_T = some_ids(20);
  const Routing routing = make_gate(config, {}, tensors)->route(input);
  for (int64_t t = 0; t < 20; ++t) {
    EXPECT_TRUE(routing.experts_TK[t].equal(tensors.hash_table_VK[t % 16].to(torch::kInt64)));
  }
  EXPECT_TRUE(routing.weights_TK.equal(torch::ones({20, 2}, torch::kFloat64)));
  EXPECT_FALSE(routing.scores_TE.defined());
}

TEST(GshardGate, SecondExpertIsVisitedWithTwiceItsShare) {
  spec::ModelConfig config = golden_config();
  config.router_type = spec::RouterType::kGshard;
  config.hidden_size = 8;
  const GshardGate gate(config, {graph_weight(torch::eye(8, torch::kFloat64)), {}, {}}, true);
  GateInput input;
  input.x_TD = golden_logits();
  input.training = true;
  Tensor visits = torch::zeros({6}, torch::kFloat64), share;
  constexpr int kDraws = 4000;
  for (uint64_t key = 0; key < kDraws; ++key) {
    input.random_key = key;
    const Routing routing = gate.route(input);
    EXPECT_TRUE(routing.kept_TK.select(1, 0).all().item<bool>()) << "first choices always go";
    visits += routing.kept_TK.select(1, 1);
    share = routing.weights_TK.select(1, 1);
  }
  // Five standard deviations of a mean of kDraws coin tosses: 5 * 0.5 / sqrt(4000) = 0.04.
  EXPECT_LT(largest_difference(visits / kDraws, (2 * share).clamp_max(1)), 0.04);
  EXPECT_TRUE(gate.route(input).kept_TK.equal(gate.route(input).kept_TK)) << "same key, same draws";
  input.training = false;
  EXPECT_FALSE(gate.route(input).kept_TK.defined()) << "no draws outside training";
}

}  // namespace
}  // namespace dsmoe::moe
