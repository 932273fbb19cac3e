// Router arithmetic on the kernels where they apply: scores with the choice of the best, and sums over tokens. Each is
// one function of the graph with its LibTorch expression beside.
//
// Of experts that are ranked alike, the lower index is chosen first; LibTorch's topk, the path of other devices, leaves
// their order open.
#pragma once

#include <torch/types.h>

#include "moe/sequences.h"

namespace dsmoe::moe {

using torch::Tensor;

/// softmax over experts, and the `chosen` best of each token.
struct SoftmaxChoice {
  Tensor scores_TE, values_TK;  ///< differentiable in the logits
  Tensor experts_TK;            ///< int64, best first
};
SoftmaxChoice softmax_choice(const Tensor& logits_TE, int64_t chosen);
SoftmaxChoice softmax_choice_reference(const Tensor& logits_TE, int64_t chosen);

/// int64 [T, chosen], best first; without graph.
Tensor best_experts(const Tensor& ranking_TE, int64_t chosen);

/// x [T, E] summed over the tokens that count, by scope: [scopes, E]. `mask_T` bool; undefined: all count.
/// Differentiable in x.
Tensor sum_by_scope(const Tensor& x_TE, const Tensor& mask_T, const Sequences& scopes);
Tensor sum_by_scope_reference(const Tensor& x_TE, const Tensor& mask_T, const Sequences& scopes);

}  // namespace dsmoe::moe
