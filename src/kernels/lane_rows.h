// Where the weights of a vector's sixteen lanes lie. Nothing else is included: see vec_scalar.h.
#pragma once

#include <cstdint>

#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// Sixteen rows, or eight rows and once more the same ones some bytes further on: less memory at once, where rows are
/// long.
struct LaneRows {
  const uint8_t* first;
  int64_t stride;
  const uint8_t* eighth;

  DSMOE_INLINE const uint8_t* at(int64_t lane) const {
    return lane < 8 ? first + lane * stride : eighth + (lane - 8) * stride;
  }
  friend DSMOE_INLINE LaneRows operator+(const LaneRows& rows, int64_t bytes) {
    return {rows.first + bytes, rows.stride, rows.eighth + bytes};
  }
};
inline DSMOE_INLINE LaneRows sixteen_rows(const uint8_t* p, int64_t stride) { return {p, stride, p + 8 * stride}; }
inline DSMOE_INLINE LaneRows eight_rows_twice(const uint8_t* p, int64_t stride, int64_t bytes) {
  return {p, stride, p + bytes};
}

}  // namespace
}  // namespace dsmoe::kernels
