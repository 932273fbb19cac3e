// WeightType as a view of base::ElementType: the same types in the same order.
#pragma once

#include "base/element_types.h"
#include "kernels/matrix.h"

namespace dsmoe::kernels {

constexpr WeightType weight_type(base::ElementType type) { return static_cast<WeightType>(type); }

constexpr bool agree_with_the_table() {
  for (const base::ElementTypeInfo& info : base::kElementTypes) {
    const WeightType type = weight_type(info.type);
    if (&info != &base::info_of(info.type) || is_quantised(type) == base::is_float(info.type)) return false;
    if (row_bytes(type, info.block_values) != info.block_bytes) return false;
    if (is_quantised(type) && block_values(block_type(type)) != info.block_values) return false;
  }
  return base::kElementTypes.size() == size_t{kWeightTypes};
}
static_assert(agree_with_the_table());
static_assert(weight_type(base::ElementType::kBf16) == WeightType::kBf16);
static_assert(block_type(weight_type(base::ElementType::kQ8_0)) == BlockType::kQ8_0);
static_assert(block_type(weight_type(base::ElementType::kQ4K)) == BlockType::kQ4K);

}  // namespace dsmoe::kernels
