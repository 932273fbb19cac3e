#include "moe/moe_layer.h"

#include "base/part_clock.h"
#include "base/rng.h"
#include "moe/capacity.h"

namespace dsmoe::moe {

MoeOutput MoeLayer::choose(const Tensor& x_TD, const MoeContext& context, uint64_t layer) const {
  const base::Part part("gate and balance");
  GateInput input{x_TD, context.token_ids_T, context.training, base::random_bits(context.random_key, layer, 0)};
  MoeOutput out;
  out.routing = parts_.gate->route(input);
  out.routing.mask_T = context.mask_T;
  out.routing.sequences = context.sequences;
  out.balance_loss = torch::zeros({}, out.routing.weights_TK.options().requires_grad(false));
  if (context.training) {
    for (const auto& term : parts_.balance) {
      out.balance_loss = out.balance_loss + term->loss(out.routing, context.total_tokens);
    }
    if (parts_.capacity_factor > 0) apply_capacity(out.routing, parts_.capacity_factor, parts_.experts);
  }
  return out;
}

MoeOutput MoeLayer::forward(const Tensor& x_TD, const MoeContext& context, uint64_t layer) const {
  MoeOutput out = choose(x_TD, context, layer);
  const ExpertWork work = parts_.dispatcher->dispatch(x_TD, out.routing);
  out.y_TD = parts_.dispatcher->combine(parts_.routed.forward(work), work);
  if (parts_.shared) out.y_TD = parts_.shared->forward(x_TD, out.y_TD);
  return out;
}

}  // namespace dsmoe::moe
