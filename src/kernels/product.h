// Products of stored weights and float32 activations. `Product` (matrix.h) says what is multiplied; float32 sums over
// ascending columns in 16 lanes, so an output's bits depend on its own row and column alone: not on how many tokens or
// rows share the call, nor on threads. bf16 weights are widened, which is exact.
#pragma once

#include <span>

#include "base/parallel.h"
#include "kernels/matrix.h"

namespace dsmoe::kernels {

/// On the calling thread.
void matmul(const Product& product);
/// The definition: every dot product in double, in order.
void matmul_ref(const Product& product);

/// out_TN = x_TK weights^T for whole matrices, in blocks of weight rows.
void matmul(const base::ParallelFor& parallel_for, const Matrix& weights, std::span<const float> x_TK, int64_t tokens,
            std::span<float> out_TN);

/// Weight rows per chunk of work: about 2^17 multiply-adds, so that waking a thread is paid for.
int64_t rows_per_chunk(int64_t cols, int64_t tokens);

/// One weight as a float, whatever its type.
float weight_at(const Matrix& weights, int64_t row, int64_t col);

/// bf16 of a float, to nearest even (NaN stays one), and back.
uint16_t to_bf16(float x);
float from_bf16(uint16_t bits);

}  // namespace dsmoe::kernels
