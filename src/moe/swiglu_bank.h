// SwiGLU experts on the grouped products of kernels/panels.h: routed experts over token slots, and the dense FFN or
// shared bank as the one expert that every row visits.
//
// Rows are read through an index, so no gathered copy is made; SiLU and the slots' weights are epilogues. Kept for the
// backward pass: the rows and the pre-activations. The gradient of a slot's weight is the dot product of the expert's
// hidden activations and their gradient, which the backward pass holds anyway, so the expert's output is not kept.
#pragma once

#include "moe/slot_plan.h"
#include "moe/weight.h"

namespace dsmoe::moe {

/// Which expert works on which row, and with what weight.
struct RoutedSlots {
  Tensor weights_RK;  ///< float32, differentiable
  SlotPlan plan;
};

/// y[r] = add[r] + sum over r's kept slots of weight * expert(rows[r]); `slots` null: the one expert's output for every
/// row, unweighted. gate_up [E, 2F, D], down [E, D, F], without E for the one expert. Rows are bf16 or float32; sums
/// are float32 in a fixed order.
Tensor swiglu_bank(const Tensor& rows_RD, const Tensor& add_RD, const WeightPtr& gate_up, const WeightPtr& down,
                   const RoutedSlots* slots);

}  // namespace dsmoe::moe
