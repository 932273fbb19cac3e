// Rows of token slots back to tokens: the way out of a mixture layer forward (weighted outputs of experts) and backward
// (gradients of its input).
#pragma once

#include "base/parallel.h"
#include "kernels/slot_sum.h"

namespace dsmoe::kernels {

void combine_slots(const base::ParallelFor& parallel_for, const SlotSum& sum);
void combine_slots_ref(const base::ParallelFor& parallel_for, const SlotSum& sum);

}  // namespace dsmoe::kernels
