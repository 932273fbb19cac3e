#include "model/block.h"

#include "model/parameters.h"
#include "model/recompute.h"
#include "model/rms_norm.h"
#include "moe/registry.h"

namespace dsmoe::model {
namespace {

const LayerMasters& masters(const ParameterStore& store, int64_t layer) {
  return store.layers()[static_cast<size_t>(layer)];
}

std::variant<moe::Ffn, moe::MoeLayer> ffn_or_moe(const spec::ModelConfig& config, const moe::TrainingOptions& training,
                                                 const ParameterStore& store, int64_t layer,
                                                 const comm::Group& expert_ranks) {
  const LayerMasters& m = masters(store, layer);
  const auto weight_of = [&](const Tensor& master) { return store.weight(master); };
  if (m.dense.gate_up.defined()) return moe::Ffn(weight_of(m.dense.gate_up), weight_of(m.dense.down));
  return moe::make_moe_layer(config, training,
                             {.gate = {weight_of(m.router), m.bias, m.hash_table},
                              .gate_up = weight_of(m.routed.gate_up),
                              .down = weight_of(m.routed.down),
                              .shared_gate_up = weight_of(m.shared.gate_up),
                              .shared_down = weight_of(m.shared.down)},
                             expert_ranks);
}

}  // namespace

Block::Block(const spec::ModelConfig& config, const moe::TrainingOptions& training, const ParameterStore& store,
             int64_t layer, const comm::Group& expert_ranks)
    : layer_(layer),
      eps_(config.rms_norm_eps),
      input_norm_(store.weight(masters(store, layer).input_norm)),
      post_norm_(store.weight(masters(store, layer).post_norm)),
      attention_(config, store.weight(masters(store, layer).qkv), store.weight(masters(store, layer).out)),
      ffn_(ffn_or_moe(config, training, store, layer, expert_ranks)) {}

BlockOutput Block::forward(const Tensor& x_TD, const moe::MoeContext& context, const RotaryTable& rotary) const {
  const auto type = x_TD.scalar_type();
  const NormedBranch in = rms_norm_branch(x_TD, input_norm_->get(type), eps_);
  const NormedBranch middle =
      rms_norm_branch(attention_.forward(in.normed, in.x, context.sequences, rotary), post_norm_->get(type), eps_);
  const Tensor &h_TD = middle.x, &normed_TD = middle.normed;
  if (const auto* dense = std::get_if<moe::Ffn>(&ffn_)) return {dense->forward(normed_TD, h_TD), {}, {}};
  moe::MoeOutput out = std::get<moe::MoeLayer>(ffn_).forward(normed_TD, context, static_cast<uint64_t>(layer_));
  return {h_TD + out.y_TD, out.balance_loss, std::move(out.routing)};
}

BlockOutput Block::forward_recomputed(const Tensor& x_TD, const moe::MoeContext& context,
                                      const RotaryTable& rotary) const {
  std::optional<moe::Routing> routing;
  const bool dense = std::holds_alternative<moe::Ffn>(ffn_);
  const auto outputs = recomputed(x_TD, [=, this, &routing, first = true](const Tensor& x) mutable {
    BlockOutput out = forward(x, context, rotary);
    if (first && out.routing) routing = out.routing->detach();
    first = false;
    return dense ? torch::autograd::variable_list{out.x_TD}
                 : torch::autograd::variable_list{out.x_TD, out.balance_loss};
  });
  return {outputs[0], dense ? Tensor() : outputs[1], std::move(routing)};
}

}  // namespace dsmoe::model
