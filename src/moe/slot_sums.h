// Values of token slots back in the order of rows, on the kernels (kernels/slots.h), without graph.
#pragma once

#include "moe/slot_plan.h"

namespace dsmoe::moe {

/// out[r] = add[r] + sum over r's slots of weight * slots, choices in ascending order; `weights_RK` (float32)
/// undefined: ones; `add_RD` undefined: nothing.
Tensor sum_of_slots(const SlotPlan& plan, const Tensor& slots_ND, const Tensor& weights_RK, const Tensor& add_RD);
/// [R, K] of float32 values of slots; 0 where a slot was not kept.
Tensor values_by_row(const SlotPlan& plan, const Tensor& values_N);

}  // namespace dsmoe::moe
