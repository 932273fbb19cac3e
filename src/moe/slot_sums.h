// Values of token slots back in the order of rows, without graph: on the kernels (kernels/slots.h), or composed.
#pragma once

#include "moe/slot_plan.h"

namespace dsmoe::moe {

/// out[r] = add[r] + sum over r's slots of weight * slots, choices in ascending order; `weights_RK` (float32)
/// undefined: ones; `add_RD` undefined: nothing.
Tensor sum_of_slots(const SlotPlan& plan, const Tensor& slots_ND, const Tensor& weights_RK, const Tensor& add_RD);
/// sum_k weight[r, k] * packed[place[r, k]], where the last packed row is the zero of slots that were not kept. Summed
/// in wide type, choices in order, rounded once. weights_RK undefined: ones. Composed of LibTorch's operations.
Tensor gather_sum(const Tensor& packed_PD, const Tensor& place_RK, const Tensor& weights_RK);
/// out[r] = sum over r's slots of `slots`, by whichever of the two an operation on them takes.
Tensor sums_by_row(const SlotPlan& plan, const Tensor& slots_ND);
/// [R, K] of float32 values of slots; 0 where a slot was not kept.
Tensor values_by_row(const SlotPlan& plan, const Tensor& values_N);

}  // namespace dsmoe::moe
