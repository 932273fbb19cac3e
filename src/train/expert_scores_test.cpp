// Which experts a text uses, and how few of them have a share of it.
#include "train/expert_scores.h"

#include <gtest/gtest.h>

#include "train/layer_loads.h"
#include "train/model_batch.h"
#include "train/test_support.h"

namespace dsmoe::train {
namespace {

using Experts = std::vector<int64_t>;

// Three tokens choose two of four experts. Gates: 0.75, 0.25, 1 and 0; tokens: 2, 1, 3 and 0.
LayerScores traced() {
  moe::Routing routing;
  routing.experts_TK = torch::tensor({0, 2, 2, 1, 2, 0}, torch::kInt64).view({3, 2});
  routing.weights_TK = torch::tensor({0.5, 0.125, 0.5, 0.25, 0.375, 0.25}, torch::kFloat).view({3, 2});
  LayerScores scores{1, std::vector<double>(4), std::vector<double>(4)};
  add_routing(routing, scores);
  return scores;
}

TEST(ExpertScores, OfATraceAreItsGatesAndTokens) {
  const LayerScores scores = traced();
  EXPECT_EQ(scores.gates_E, (std::vector<double>{0.75, 0.25, 1, 0}));
  EXPECT_EQ(scores.tokens_E, (std::vector<double>{2, 1, 3, 0}));
}

TEST(ExpertScores, TheFewestExpertsThatHaveTheShare) {
  const LayerScores scores = traced();
  EXPECT_EQ(fewest_experts(scores.gates_E, 0.5), (Experts{2})) << "1 of 2";
  EXPECT_EQ(fewest_experts(scores.gates_E, 0.51), (Experts{0, 2}));
  EXPECT_EQ(fewest_experts(scores.gates_E, 0.875), (Experts{0, 2})) << "1.75 of 2";
  EXPECT_EQ(fewest_experts(scores.gates_E, 0.876), (Experts{0, 1, 2}));
  EXPECT_EQ(fewest_experts(scores.tokens_E, 0.5), (Experts{2})) << "3 of 6";
  EXPECT_EQ(fewest_experts(scores.tokens_E, 1), (Experts{0, 1, 2})) << "an expert that nobody chose adds nothing";
  EXPECT_EQ(fewest_experts(std::vector<double>{1, 2, 2, 1}, 0.2), (Experts{1})) << "of equal ones the lower";
  const std::vector<double> uneven = {0.1, 0.2, 0.3, 0.7, 1e-9};
  EXPECT_EQ(fewest_experts(uneven, 1), (Experts{0, 1, 2, 3, 4})) << "all, whatever sums round to";

  const ExpertScores two{3, {traced(), {2, {1, 1, 1, 1}, {0, 6, 0, 0}}}};
  using Chosen = std::vector<spec::RoutedExpert>;
  EXPECT_EQ(choose_experts(two, ExpertScore::kGate, 0.75), (Chosen{{1, 0}, {1, 2}, {2, 0}, {2, 1}, {2, 2}}));
  EXPECT_EQ(choose_experts(two, ExpertScore::kToken, 0.75), (Chosen{{1, 0}, {1, 2}, {2, 1}}));
  const base::Json json = layers_json(two, choose_experts(two, ExpertScore::kToken, 0.75));
  EXPECT_EQ(json[0]["trained"], (base::Json{0, 2}));
  EXPECT_EQ(json[0]["mean_gate"][0], 0.25);
  EXPECT_EQ(json[0]["token_share"][2], 1);
  EXPECT_EQ(json[1]["trained"], base::Json::array({1}));
}

TEST(ExpertScores, OfAModelAreWhatItsTokensChose) {
  const spec::ModelConfig config = spec::resolve("tiny").config.model;
  model::Transformer model(config, {}, {});
  model.initialise(1);
  const corpus::RowBatches batches(
      [](int64_t step, int64_t row, std::span<int32_t> out) {
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] = static_cast<int32_t>((7 * static_cast<int64_t>(i) + 3 * step + row) % 50);
        }
      },
      {2, 4, 16});
  const ExpertScores scores = score_experts(model, batches, 3, 1000);
  EXPECT_EQ(scores.tokens, 3 * 4 * 16);
  std::vector<LayerLoad> loads = empty_loads(config);
  for (int64_t pass = 0; pass < 6; ++pass) {
    corpus::TokenBatch texts;
    batches.read(pass / 2, pass % 2, texts);
    add_loads(model.evaluate(model_batch(texts)).routings, loads);
  }
  ASSERT_EQ(scores.layers.size(), loads.size());
  for (size_t i = 0; i < loads.size(); ++i) {
    EXPECT_EQ(scores.layers[i].layer, loads[i].layer);
    for (size_t e = 0; e < loads[i].counts_E.size(); ++e) {
      EXPECT_EQ(scores.layers[i].tokens_E[e], static_cast<double>(loads[i].counts_E[e]));
      EXPECT_EQ(scores.layers[i].gates_E[e] > 0, loads[i].counts_E[e] > 0);
      EXPECT_LE(scores.layers[i].gates_E[e], scores.layers[i].tokens_E[e]) << "a gate is at most 1";
    }
  }
  EXPECT_EQ(score_experts(model, batches, 3, 33).tokens, 64) << "whole passes, until there are as many";
}

}  // namespace
}  // namespace dsmoe::train
