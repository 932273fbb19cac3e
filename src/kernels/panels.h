// Many matrix products of ragged heights as one flat list of tiles: what a mixture layer trains with, forward and
// backward, and every dense layer of the model as the list of one.
//
// One product is out[m][n] = sum over k of left[m][k] * right[k][n]. Left rows are read where they lie, through an
// index where there is one (rows of a token slot), and packed a few at a time into the core's cache. The right operand
// is packed beforehand into panels of kPanel columns: weights once per update, for all tokens; gathered rows by the
// product itself. What happens to a finished tile is an epilogue, while it is in registers or the nearest cache.
//
// Inputs are bf16 or float32, sums float32. Every output is one sum over ascending k (bf16: over ascending pairs) in
// one thread, so its bits depend on its own row and column alone: not on threads, tiles or the number of rows.
#pragma once

#include <span>

#include "base/parallel.h"
#include "kernels/panel_product.h"

namespace dsmoe::kernels {

/// Packs k x n of `source` for the right side, converting from one type to the other.
/// kOutput: weights [N, K] of y = x W^T. kDepth: weights [K, N] of dx = dy W, or gathered rows of a weight gradient.
void pack_right(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed);
void pack_right_ref(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed);

/// All products, inputs of `type`, as one list of tiles in one parallel region. m or k of 0 is a product like any other
/// (kStore writes zeros).
void panel_products(const base::ParallelFor& parallel_for, Number type, std::span<const PanelProduct> products);
void panel_products_ref(const base::ParallelFor& parallel_for, Number type, std::span<const PanelProduct> products);

/// One product on the calling thread; `right` packed. For work that is parallel already, such as attention's heads.
void panel_product(Number type, const PanelProduct& product);

/// The right operand of kSwiglu: gate_up [2F, K] (F gate rows, then F up rows) with gate and up columns interleaved by
/// 16, F padded to a multiple of 16. packed_numbers(k, 2 * padded F) elements.
void pack_gate_up(Number from, const RowsView& gate_up, int64_t k, int64_t width, Number to, void* packed);
void pack_gate_up_ref(Number from, const RowsView& gate_up, int64_t k, int64_t width, Number to, void* packed);

}  // namespace dsmoe::kernels
