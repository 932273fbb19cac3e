// SwiGLU experts whose frozen weights have adapters (moe/adapter.h), on the kernels.
//
// The same products as moe/swiglu_bank.h in the same order, but in steps that autograd joins: rows by slot, hidden
// activations, outputs, and their sum for each row. Adapters that say nothing leave every bit as it is without them.
#pragma once

#include "moe/swiglu_bank.h"

namespace dsmoe::moe {

/// swiglu_bank() where gate_up or down has adapters.
Tensor adapted_swiglu_bank(const Tensor& rows_RD, const Tensor& add_RD, const WeightPtr& gate_up, const WeightPtr& down,
                           const RoutedSlots* slots);

}  // namespace dsmoe::moe
