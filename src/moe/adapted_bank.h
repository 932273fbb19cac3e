// SwiGLU experts over frozen weights that have adapters (moe/adapter.h) or stay in their file (moe/stored_weight.h), on
// the kernels.
//
// The same products as moe/swiglu_bank.h in the same order, but in steps that autograd joins: rows by slot, hidden
// activations, outputs, and their sum for each row. Adapters that say nothing leave every bit as it is without them.
#pragma once

#include "moe/swiglu_bank.h"

namespace dsmoe::moe {

/// swiglu_bank() where gate_up or down has adapters or keeps nothing packed.
Tensor adapted_swiglu_bank(const Tensor& rows_RD, const Tensor& add_RD, const WeightPtr& gate_up, const WeightPtr& down,
                           const RoutedSlots* slots);

}  // namespace dsmoe::moe
