// One block of the Transformer: norm, attention, residual, norm, FFN or MoE layer, residual.
#pragma once

#include <optional>
#include <variant>

#include "model/attention.h"
#include "moe/moe_layer.h"
#include "moe/training_options.h"

namespace dsmoe::model {

class ParameterStore;

struct BlockOutput {
  Tensor x_TD;
  Tensor balance_loss;                  ///< scalar; undefined for a dense block
  std::optional<moe::Routing> routing;  ///< none for a dense block
};

class Block {
 public:
  /// `expert_ranks` as TransformerOptions has them.
  Block(const spec::ModelConfig& config, const moe::TrainingOptions& training, const ParameterStore& store,
        int64_t layer, const comm::Group& expert_ranks);
  BlockOutput forward(const Tensor& x_TD, const moe::MoeContext& context, const RotaryTable& rotary) const;
  /// The same, keeping only the input for the backward pass, which runs the block again.
  BlockOutput forward_recomputed(const Tensor& x_TD, const moe::MoeContext& context, const RotaryTable& rotary) const;

 private:
  int64_t layer_;
  double eps_;
  moe::WeightPtr input_norm_, post_norm_;
  Attention attention_;
  std::variant<moe::Ffn, moe::MoeLayer> ffn_;
};

}  // namespace dsmoe::model
