// Weighted sums of slots' rows, over the Vec of the including unit. Reference and contract: slots.h.
#pragma once

#include "kernels/body_epilogue.h"
#include "kernels/slot_sum.h"

namespace dsmoe::kernels {
namespace {

/// Up to sixteen columns from d on.
template <class Rows, class Out>
inline DSMOE_INLINE void combine_some(const SlotSum& sum, int64_t t, int64_t d) {
  const int64_t n = sum.width - d, at = t * sum.width + d;
  Vec value = sum.add ? load_some(static_cast<const Out*>(sum.add) + at, n) : Vec::zero();
  for (int64_t slot = t * sum.slots; slot < (t + 1) * sum.slots; ++slot) {
    if (sum.place[slot] < 0) continue;
    const Vec row = load_some(static_cast<const Rows*>(sum.rows) + sum.place[slot] * sum.width + d, n);
    value = sum.weights ? fma(Vec::all(sum.weights[slot]), row, value) : value + row;
  }
  store_some(value, static_cast<Out*>(sum.out) + at, n);
}

template <class Rows, class Out>
void combine_slots(const SlotSum& sum, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t d = 0; d < sum.width; d += kLanes) combine_some<Rows, Out>(sum, t, d);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
