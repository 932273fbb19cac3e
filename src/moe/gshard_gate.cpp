#include "moe/gshard_gate.h"

#include "base/rng.h"
#include "moe/topk_gate.h"

namespace dsmoe::moe {
namespace {

/// [T] float64 uniform in [0, 1), each a pure function of the key and the token's place.
Tensor uniform_T(uint64_t key, int64_t tokens) {
  Tensor draws = torch::empty({tokens}, torch::kFloat64);
  auto* draw = draws.data_ptr<double>();
  for (int64_t t = 0; t < tokens; ++t) {
    draw[t] = base::unit_interval(base::random_bits(key, 0, static_cast<uint64_t>(t)));
  }
  return draws;
}

}  // namespace

GshardGate::GshardGate(const spec::ModelConfig& config, const GateTensors& tensors, bool random_second_expert)
    : config_(config), router_(tensors.router), random_second_expert_(random_second_expert) {}

Routing GshardGate::route(const GateInput& input) const {
  Routing routing = route_by_affinity(router_, config_, input.x_TD, 2);
  if (input.training && random_second_expert_) {
    const Tensor share_T = routing.weights_TK.detach().select(1, 1).to(torch::kFloat64);
    const Tensor second_T = uniform_T(input.random_key, routing.tokens()).to(share_T.device()) < 2 * share_T;
    routing.kept_TK = torch::stack({torch::ones_like(second_T), second_T}, 1);
  }
  return routing;
}

}  // namespace dsmoe::moe
