// The K largest of a row: in descending order, and of equals the lower index first.
#pragma once

#include <cstdint>
#include <span>

namespace dsmoe::kernels {

/// Indices of the ids.size() largest values; NaN counts as smaller than everything. ids.size() <= values.size().
void top_k(std::span<const float> values, std::span<int32_t> ids);
void top_k_ref(std::span<const float> values, std::span<int32_t> ids);

}  // namespace dsmoe::kernels
