#include "train/expert_scores.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "train/model_batch.h"

namespace dsmoe::train {
namespace {

std::vector<LayerScores> empty_scores(const spec::ModelConfig& config) {
  std::vector<LayerScores> layers;
  const std::vector<double> zeros(static_cast<size_t>(config.n_routed_experts));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (config.is_moe_layer(layer)) layers.push_back({layer, zeros, zeros});
  }
  return layers;
}

base::Json divided(const std::vector<double>& sum_E, int64_t tokens) {
  base::Json mean_E = base::Json::array();
  for (const double sum : sum_E) mean_E.push_back(sum / static_cast<double>(tokens));
  return mean_E;
}

}  // namespace

void add_routing(const moe::Routing& routing, LayerScores& scores) {
  const torch::Tensor experts_TK = routing.experts_TK.contiguous();
  const torch::Tensor gates_TK = routing.weights_TK.to(torch::kDouble).contiguous();
  for (int64_t slot = 0; slot < experts_TK.numel(); ++slot) {
    const auto e = static_cast<size_t>(experts_TK.data_ptr<int64_t>()[slot]);
    scores.gates_E[e] += gates_TK.data_ptr<double>()[slot];
    scores.tokens_E[e] += 1;
  }
}

ExpertScores score_experts(const model::Transformer& model, const corpus::BatchSource& batches, int64_t steps,
                           int64_t most_tokens) {
  ExpertScores scores{0, empty_scores(model.config())};
  corpus::TokenBatch batch;
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t micro = 0; micro < batches.micro_batches(step) && scores.tokens < most_tokens; ++micro) {
      batches.read(step, micro, batch);
      const model::Evaluation evaluation = model.evaluate(model_batch(batch));
      DSMOE_CHECK(evaluation.routings.size() == scores.layers.size(), "one routing per MoE layer");
      for (size_t i = 0; i < scores.layers.size(); ++i) add_routing(evaluation.routings[i], scores.layers[i]);
      scores.tokens += std::ssize(batch.ids);
    }
  }
  return scores;
}

std::vector<int64_t> fewest_experts(std::span<const double> score_E, double share) {
  std::vector<int64_t> order(score_E.size());
  std::iota(order.begin(), order.end(), 0);
  const auto score = [&](int64_t e) { return score_E[static_cast<size_t>(e)]; };
  std::ranges::stable_sort(order, std::greater<>(), score);
  // In the order of the partial sums below, so that the last of them is the total to the bit.
  double total = 0, sum = 0;
  for (const int64_t e : order) total += score(e);
  size_t taken = 0;
  while (taken < order.size() && sum < share * total && score(order[taken]) > 0) sum += score(order[taken++]);
  order.resize(taken);
  std::ranges::sort(order);
  return order;
}

std::vector<spec::RoutedExpert> choose_experts(const ExpertScores& scores, ExpertScore score, double share) {
  std::vector<spec::RoutedExpert> chosen;
  for (const LayerScores& layer : scores.layers) {
    for (const int64_t e : fewest_experts(layer.of(score), share)) chosen.push_back({layer.layer, e});
  }
  return chosen;
}

base::Json layers_json(const ExpertScores& scores, std::span<const spec::RoutedExpert> chosen) {
  base::Json layers = base::Json::array();
  for (const LayerScores& layer : scores.layers) {
    base::Json trained = base::Json::array();
    for (const spec::RoutedExpert& e : chosen) {
      if (e.layer == layer.layer) trained.push_back(e.expert);
    }
    layers.push_back({{"layer", layer.layer},
                      {"trained", trained},
                      {"mean_gate", divided(layer.gates_E, scores.tokens)},
                      {"token_share", divided(layer.tokens_E, scores.tokens)}});
  }
  return layers;
}

}  // namespace dsmoe::train
