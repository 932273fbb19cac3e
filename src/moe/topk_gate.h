// Top-K gates over a learned router: DeepSeekMoE, Switch (K = 1), GShard as the paper reads it (K = 2), and the
// selections of DeepSeek-V2 and V3.
//
// Affinities s = softmax or sigmoid of router logits over all experts, before the selection (paper eq. 3-5, 9-11); the
// gate value of a picked expert is its affinity, normalised and scaled where the configuration says so. The three
// selections differ only in what they rank.
#pragma once

#include "moe/gate.h"
#include "spec/model_config.h"

namespace dsmoe::moe {

class TopkGate : public Gate {
 public:
  TopkGate(const spec::ModelConfig& config, const GateTensors& tensors);
  Routing route(const GateInput& input) const override;

 protected:
  /// What the selection ranks, without graph; -inf where a token may not go. Undefined: the affinities themselves.
  virtual Tensor ranking_TE(const Tensor&) const { return {}; }

  spec::ModelConfig config_;
  GateTensors tensors_;
};

/// DeepSeek-V2: the best topk_group groups by their best affinity, then the best K inside them (device-limited
/// routing).
class GroupLimitedGate final : public TopkGate {
 public:
  using TopkGate::TopkGate;

 private:
  Tensor ranking_TE(const Tensor& scores_TE) const override;
};

/// DeepSeek-V3 ("noaux_tc"): ranks s + b, groups by the sum of their two best; the weights stay without b
/// (loss-free balancing, arXiv 2408.15664).
class BiasedGate final : public TopkGate {
 public:
  using TopkGate::TopkGate;
  Routing route(const GateInput& input) const override;

 private:
  Tensor ranking_TE(const Tensor& scores_TE) const override;
};

/// A Routing whose experts are the `chosen` best by affinity, in the router's own type.
Routing route_by_affinity(const WeightPtr& router, const spec::ModelConfig& config, const Tensor& x_TD, int64_t chosen);
/// Picked affinities become gate values, [T, K] to [T, K], as spec::ModelConfig says (normalised, scaled, or as is).
Tensor gate_values(const Tensor& picked_TK, const spec::ModelConfig& config);

}  // namespace dsmoe::moe
