// A weight matrix as it lies in a file: a type, bytes, rows and columns. The type is one axis of the kernels, the
// instruction set the other; quantised blocks join here as further types.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

enum class WeightType : uint8_t { kF32, kBf16 };
inline constexpr int kWeightTypes = 2;

/// Rows are outputs and columns inputs, as checkpoints have it. Borrowed memory, rows one after another.
struct Matrix {
  WeightType type = WeightType::kF32;
  const void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
};

/// Rows row_begin .. row_end of a weight matrix times some of the rows of x:
///   out[t * out_stride + n] = dot(weights[n], x[(x_rows ? x_rows[t] : t) * x_stride]),  t < tokens.
/// One token makes it a matrix-vector product, one row a dot product.
struct Product {
  Matrix weights;
  int64_t row_begin = 0, row_end = 0;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* x_rows = nullptr;
  int64_t tokens = 0;
  float* out = nullptr;
  int64_t out_stride = 0;
};

/// Positions in one block of the key/value cache. Attention sums over blocks in ascending order, and blocks begin at
/// multiples of this, so what a position sees does not depend on how its past arrived.
inline constexpr int64_t kCacheBlock = 64;

/// Some queries against one sequence's cache of one key/value head: heads of its group, tokens, or both.
struct Attention {
  const float* const* queries = nullptr;  ///< [rows] each of head_dim floats
  const int64_t* visible = nullptr;       ///< [rows] positions that each row sees, at least 1
  float* const* out = nullptr;            ///< [rows] each of head_dim floats
  int64_t rows = 0;                       ///< at most kAttentionRows
  int64_t head_dim = 0;
  float scale = 1;
  /// Keys of positions b * kCacheBlock ... are [kCacheBlock, head_dim] at blocks[b] + keys_at; values likewise.
  const float* const* blocks = nullptr;
  int64_t keys_at = 0, values_at = 0;
};
inline constexpr int64_t kAttentionRows = 16;

}  // namespace dsmoe::kernels
