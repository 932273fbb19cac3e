// Adapters (LoRA, arXiv 2106.09685): low-rank additions that train beside frozen weights.
//
// A weight may be several matrices above each other (queries, keys and values; gates and ups) and a stack over experts;
// an adapter belongs to one of those matrices. On the kernels an operation adds scale * B (A x) to its product before
// it is rounded, and the frozen weight has no gradient. Elsewhere get() hands out the merged weight: the definition.
#pragma once

#include <vector>

#include "moe/linear.h"
#include "moe/weight.h"

namespace dsmoe::moe {

/// Outputs first_row .. first_row + N' of a weight get scale * b (a x).
struct AdapterPart {
  int64_t first_row = 0;
  WeightPtr a, b;  ///< [r, K] and [N', r], or stacks [C, r, K] and [C, N', r] over C of the weight's experts
  double scale = 1;
  std::vector<int64_t> experts;  ///< of a stack: the experts they belong to, ascending; empty for one matrix
};

/// `base` with adapters in the order of their rows, without overlap. Only a and b are trainable.
WeightPtr adapted_weight(const WeightPtr& base, std::vector<AdapterPart> parts);

/// What the adapters of a weight make of x [T, K], plus `add` [T, N] where defined: [T, N], differentiable. `groups`
/// are the rows of each expert, or all rows for a weight that is no stack. `add` itself, perhaps undefined, where the
/// weight has no adapters.
Tensor with_adapters(const Tensor& x_TK, const Weight& weight, const std::vector<RowGroup>& groups,
                     const Tensor& add_TN);

}  // namespace dsmoe::moe
