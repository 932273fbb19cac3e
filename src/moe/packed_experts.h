// The expert bank composed of LibTorch's operations: the path of devices without kernels of ours, and of
// DSMOE_COMPOSED.
//
// It works on a few padded batches (moe/packing.h), without a loop over experts, and has a backward pass from stored
// pre-activations.
#pragma once

#include "moe/dispatcher.h"

namespace dsmoe::moe {

/// gate_up [E, 2F, D] and down [E, D, F] in the rows' type; differentiable in rows, slot weights and both.
Tensor packed_experts(const ExpertWork& work, const Tensor& gate_up, const Tensor& down);

}  // namespace dsmoe::moe
