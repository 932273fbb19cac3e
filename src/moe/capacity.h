// Capacity: how many slots an expert takes before it turns tokens away (training only).
//
// With a factor, each expert takes at most ceil(factor * T*K/E) slots of a micro-batch's T real tokens. First choices
// fill first, in token order, then second choices queue behind, and so on (GShard); what is left over is dropped: the
// token keeps its residual and its other experts. Padding takes no room.
#pragma once

#include "moe/routing.h"

namespace dsmoe::moe {

/// Slots an expert takes; at least one.
int64_t expert_capacity(double factor, int64_t tokens, int64_t chosen, int64_t experts);
/// Clears kept_TK where an expert is full. Slots already dropped by the gate take no room.
void apply_capacity(Routing& routing, double factor, int64_t experts);

}  // namespace dsmoe::moe
