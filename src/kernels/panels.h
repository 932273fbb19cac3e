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

#include <cstdint>
#include <span>

#include "base/parallel.h"

namespace dsmoe::kernels {

enum class Number : uint8_t { kF32, kBf16 };
inline int64_t number_bytes(Number number) { return number == Number::kF32 ? 4 : 2; }

/// Columns of one panel. Panel p holds columns p * kPanel ..., zeros after n; k is padded with a zero to an even
/// number.
inline constexpr int64_t kPanel = 32;
/// Elements of a packed right operand of k x n.
constexpr int64_t packed_numbers(int64_t k, int64_t n) {
  return (n + kPanel - 1) / kPanel * kPanel * ((k + 1) / 2 * 2);
}

/// Rows of a matrix in memory: row r begins at data + (index ? index[r] : r) * stride elements.
struct RowsView {
  const void* data = nullptr;
  int64_t stride = 0;
  const int32_t* index = nullptr;
};

/// What a source's rows are to the product.
enum class Along : uint8_t {
  kOutput,  ///< row m of left (or column n of right) holds its k side by side
  kDepth,   ///< row k of left (or right) holds all m (or n) side by side: sums over rows
};

/// Packs k x n of `source` for the right side, converting from one type to the other.
/// kOutput: weights [N, K] of y = x W^T. kDepth: weights [K, N] of dx = dy W, or gathered rows of a weight gradient.
void pack_right(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed);
void pack_right_ref(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed);

/// What becomes of the sums.
enum class Epilogue : uint8_t {
  kStore,   ///< out = sum (+ add, where there is one), in out_type
  kAdd,     ///< out += sum; out_type is kF32
  kSwiglu,  ///< right's panels hold 16 gate columns, then the same 16 up columns (pack_gate_up): see SwigluTile
  kSwigluBackward,
};

/// The middle of a SwiGLU expert, F wide, and its way back. Rows of all three are the product's rows m. n of the
/// product is 2F for kSwiglu (panels interleaved) and F for kSwigluBackward.
struct SwigluTile {
  void* gate_up = nullptr;  ///< [m, 2F] in the type multiplied in: F gates, then F ups. Written forward, read backward
  void* hidden = nullptr;   ///< [m, F]: silu(gate) * up; backward: the same times the row's weight
  void* grad_gate_up = nullptr;   ///< [m, 2F], backward
  const float* weight = nullptr;  ///< [m] of each row (a slot's gate value), backward; null: ones
  float* grad_weight = nullptr;   ///< [m] sum over F of sum * silu(gate) * up, before the weight; null: not wanted
};

struct PanelProduct {
  int64_t m = 0, n = 0, k = 0;
  RowsView left = {};
  Along left_along = Along::kOutput;
  const void* right = nullptr;  ///< packed; or null, and then right_rows are packed on the way (Along::kDepth)
  RowsView right_rows = {};
  Epilogue epilogue = Epilogue::kStore;
  void* out = nullptr;
  int64_t out_stride = 0;              ///< elements
  const int32_t* out_index = nullptr;  ///< row m goes to row out_index[m]; rows must be distinct within one call
  Number out_type = Number::kF32;
  const void* add = nullptr;  ///< kStore: rows like out's and of its type, added before rounding
  SwigluTile swiglu = {};
};

/// All products, inputs of `type`, as one list of tiles in one parallel region. m or k of 0 is a product like any other
/// (kStore writes zeros).
void panel_products(const base::ParallelFor& parallel_for, Number type, std::span<const PanelProduct> products);
void panel_products_ref(const base::ParallelFor& parallel_for, Number type, std::span<const PanelProduct> products);

/// One product on the calling thread; `right` packed. For work that is parallel already, such as attention's heads.
void panel_product(Number type, const PanelProduct& product);

/// The right operand of kSwiglu: gate_up [2F, K] (F gate rows, then F up rows) with gate and up columns interleaved by
/// 16, F padded to a multiple of 16. packed_numbers(k, 2 * padded F) elements.
void pack_gate_up(Number from, const RowsView& gate_up, int64_t k, int64_t width, Number to, void* packed);

}  // namespace dsmoe::kernels
