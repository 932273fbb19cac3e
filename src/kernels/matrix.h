// A weight matrix as it lies in a file: a type, bytes, rows and columns; and activations as quantised weights meet
// them. The type is one axis of the kernels, the instruction set the other.
#pragma once

#include <cstdint>

#include "kernels/blocks.h"

namespace dsmoe::kernels {

/// Plain floats, then the block formats in the order of BlockType.
enum class WeightType : uint8_t { kF32, kF16, kBf16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4K, kQ5K, kQ6K };
inline constexpr int kFloatTypes = 3;
inline constexpr int kWeightTypes = kFloatTypes + kBlockTypes;

constexpr bool is_quantised(WeightType type) { return static_cast<int>(type) >= kFloatTypes; }
/// Of a quantised type, and the other way round.
constexpr BlockType block_type(WeightType type) { return static_cast<BlockType>(static_cast<int>(type) - kFloatTypes); }
constexpr WeightType weight_type(BlockType type) {
  return static_cast<WeightType>(static_cast<int>(type) + kFloatTypes);
}
/// Bytes of a row of `cols` weights, a multiple of 32 or 256 where the type is quantised.
constexpr int64_t row_bytes(WeightType type, int64_t cols) {
  if (is_quantised(type)) return blocks_bytes(block_type(type), cols);
  return cols * (type == WeightType::kF32 ? 4 : 2);
}

/// Rows are outputs and columns inputs, as checkpoints have it. Borrowed memory, rows one after another.
struct Matrix {
  WeightType type = WeightType::kF32;
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
};
constexpr int64_t matrix_bytes(const Matrix& m) { return m.rows * row_bytes(m.type, m.cols); }

/// What a block of 32 activations has beside its int8 values v: x is about scale * v.
struct ActivationBlock {
  float scale;
  float sum;      ///< scale * total
  int32_t total;  ///< of the values, and of the first 16 of them: what weights with an offset or a minimum multiply
  int32_t half;
};
/// Rows of int8 activations (activations.h makes them), borrowed.
struct Activations {
  const int8_t* values = nullptr;           ///< [rows, cols], each from -127 to 127
  const ActivationBlock* blocks = nullptr;  ///< [rows, cols / 32]
};

/// Rows row_begin .. row_end of a weight matrix times some of the rows of x:
///   out_of(t)[n] = dot(weights[n], x[(x_rows ? x_rows[t] : t) * x_stride]),  t < tokens.
/// One token makes it a matrix-vector product, one row a dot product. Quantised weights: see activations, product.h.
struct Product {
  Matrix weights;
  int64_t row_begin = 0, row_end = 0;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* x_rows = nullptr;
  int64_t tokens = 0;
  float* out = nullptr;
  int64_t out_stride = 0;
  /// Quantised weights multiply these rows and never read x.
  Activations activations = {};
  /// Where this thread reads weights after the last row, if that is known: it is prefetched.
  const void* next = nullptr;
  /// Rows of outputs that lie anywhere, instead of `out` and `out_stride`.
  float* const* out_rows = nullptr;

  /// Where a token's outputs lie. Always inline: units of several instruction sets include this.
  __attribute__((always_inline)) float* out_of(int64_t t) const {
    return out_rows ? out_rows[t] : out + t * out_stride;
  }
};

}  // namespace dsmoe::kernels
