// The K largest of a row: in descending order, and of equals the lower index first.
#pragma once

#include <cstdint>
#include <span>

namespace dsmoe::kernels {

/// Indices of the ids.size() largest values; NaN counts as smaller than everything. ids.size() <= values.size().
void top_k(std::span<const float> values, std::span<int32_t> ids);
void top_k_ref(std::span<const float> values, std::span<int32_t> ids);

/// A router's row: logits become their softmax, to the bit that of rows.h, and ids those of its K largest. K <= E.
void softmax_top_k(std::span<float> row_E, std::span<int32_t> ids_K);
/// Ids hang on every bit of the softmax, so the reference takes that as it is; its own is softmax_ref.
void softmax_top_k_ref(std::span<float> row_E, std::span<int32_t> ids_K);

}  // namespace dsmoe::kernels
