// The noun of slots.h. Seen by the units built for an instruction set, so it includes no more than they may.
#pragma once

#include "kernels/panel_product.h"

namespace dsmoe::kernels {

/// out[t] = (add ? add[t] : 0) + sum over k of weights[t * slots + k] * rows[place[t * slots + k]], k in order from
/// add on, sums float32, rounded once. Rows of add and out are side by side, `width` wide.
struct SlotSum {
  int64_t tokens = 0, slots = 0, width = 0;
  const int32_t* place = nullptr;  ///< [tokens, slots] rows of `rows`; -1 is left out
  const float* weights = nullptr;  ///< [tokens, slots]; null: ones
  Number rows_type = Number::kF32;
  const void* rows = nullptr;
  Number out_type = Number::kF32;
  const void* add = nullptr;  ///< of out's type; may be out itself
  void* out = nullptr;
};

}  // namespace dsmoe::kernels
