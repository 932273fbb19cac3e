// Where the weights of a vector's sixteen lanes lie. Nothing else is included: see vec_scalar.h.
#pragma once

#include <cstdint>

#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// Sixteen rows.
struct LaneRows {
  const uint8_t* first;
  int64_t stride;

  DSMOE_INLINE const uint8_t* at(int64_t lane) const { return first + lane * stride; }
  friend DSMOE_INLINE LaneRows operator+(const LaneRows& rows, int64_t bytes) {
    return {rows.first + bytes, rows.stride};
  }
};

}  // namespace
}  // namespace dsmoe::kernels
