// The nouns of panels.h: operands, epilogues and one product. Seen by the units built for an instruction set, so it
// includes no more than they may.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

enum class Number : uint8_t { kF32, kBf16 };
inline constexpr int kNumbers = 2;
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
  /// Added before rounding. kStore: rows like out's and of its type. kSwiglu: rows like gate_up's, to gates and ups.
  const void* add = nullptr;
  SwigluTile swiglu = {};
};

}  // namespace dsmoe::kernels
