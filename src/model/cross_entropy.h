// Cross entropy of the output head without a table of tokens by vocabulary.
//
// Logits live for a few rows at a time; the gradients of hidden states and head are made in the same walk, while the
// logits are at hand.
#pragma once

#include "moe/weight.h"

namespace dsmoe::model {

using torch::Tensor;

/// Targets with this value have no loss.
inline constexpr int64_t kIgnore = -100;

/// scale * sum over targets of -log softmax(x W')[target]; scalar of wide type. x [T, D], head [V, D], targets int64
/// [T]. Logits are cast to float32 before the loss. Differentiable in x and head.
Tensor head_cross_entropy(const Tensor& x_TD, const moe::WeightPtr& head, const Tensor& targets_T, double scale);
/// The same as one expression of LibTorch: the definition.
Tensor head_cross_entropy_reference(const Tensor& x_TD, const moe::WeightPtr& head, const Tensor& targets_T,
                                    double scale);
/// Nats of each target in wide type, 0 where ignored; without graph.
Tensor token_losses(const Tensor& x_TD, const moe::WeightPtr& head, const Tensor& targets_T);

}  // namespace dsmoe::model
