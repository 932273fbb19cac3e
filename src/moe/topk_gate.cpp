#include "moe/topk_gate.h"

#include <limits>

#include "moe/linear.h"
#include "moe/selection.h"

namespace dsmoe::moe {
namespace {

/// Keeps the ranking inside each token's best `config.topk_group` groups, a group's worth being the sum of its `best`
/// highest ranks.
Tensor limit_groups(const Tensor& ranking_TE, const spec::ModelConfig& config, int64_t best) {
  if (config.n_group == 1) return ranking_TE;
  const int64_t tokens = ranking_TE.size(0), size = config.n_routed_experts / config.n_group;
  const Tensor by_group = ranking_TE.view({tokens, config.n_group, size});
  const Tensor worth = std::get<0>(by_group.topk(std::min(best, size), -1)).sum(-1);
  const Tensor groups = std::get<1>(worth.topk(config.topk_group, -1));
  const Tensor allowed = torch::zeros(worth.sizes(), torch::kBool).to(worth.device()).scatter(1, groups, true);
  return by_group.masked_fill(allowed.logical_not().unsqueeze(2), -std::numeric_limits<double>::infinity())
      .view({tokens, config.n_routed_experts});
}

}  // namespace

Tensor gate_values(const Tensor& picked_TK, const spec::ModelConfig& config) {
  Tensor values = picked_TK;
  if (config.normalizes_gates()) values = values / (values.sum(-1, /*keepdim=*/true) + config.gate_epsilon());
  return config.scales_gates() && config.routed_scaling_factor != 1.0 ? values * config.routed_scaling_factor : values;
}

Routing route_by_affinity(const WeightPtr& router, const spec::ModelConfig& config, const Tensor& x_TD,
                          int64_t chosen) {
  Routing routing;
  routing.scores_sum_to_one = config.scoring_func == spec::ScoringFunc::kSoftmax;
  routing.logits_TE = linear(x_TD.to(router->type()), router);
  Tensor picked_TK;
  if (routing.scores_sum_to_one) {
    const SoftmaxChoice choice = softmax_choice(routing.logits_TE, chosen);
    routing.scores_TE = choice.scores_TE, routing.experts_TK = choice.experts_TK;
    picked_TK = choice.values_TK;
  } else {
    routing.scores_TE = torch::sigmoid(routing.logits_TE);
    routing.experts_TK = best_experts(routing.scores_TE.detach(), chosen);
    picked_TK = routing.scores_TE.gather(1, routing.experts_TK);
  }
  routing.weights_TK = gate_values(picked_TK, config);
  return routing;
}

TopkGate::TopkGate(const spec::ModelConfig& config, const GateTensors& tensors) : config_(config), tensors_(tensors) {}

Routing TopkGate::route(const GateInput& input) const {
  const int64_t chosen = config_.num_experts_per_tok;
  Routing routing = route_by_affinity(tensors_.router, config_, input.x_TD, chosen);
  const Tensor ranking = ranking_TE(routing.scores_TE.detach());
  if (ranking.defined()) {
    routing.experts_TK = best_experts(ranking, chosen);
    routing.weights_TK = gate_values(routing.scores_TE.gather(1, routing.experts_TK), config_);
  }
  return routing;
}

Tensor GroupLimitedGate::ranking_TE(const Tensor& scores_TE) const { return limit_groups(scores_TE, config_, 1); }

Tensor BiasedGate::ranking_TE(const Tensor& scores_TE) const {
  return limit_groups(scores_TE + tensors_.bias_E, config_, 2);
}

Routing BiasedGate::route(const GateInput& input) const {
  Routing routing = TopkGate::route(input);
  routing.selection_biased = true;
  return routing;
}

}  // namespace dsmoe::moe
