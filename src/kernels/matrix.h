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

}  // namespace dsmoe::kernels
