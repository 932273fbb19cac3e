// Products of stored weights and activations. `Product` (matrix.h) says what is multiplied. An output's bits depend on
// its own weight row and activation row alone: not on how many tokens or rows share the call, nor on threads.
//
// Float weights (f16 and bf16 are widened, which is exact) meet float32 activations: sums over ascending columns in 16
// lanes. Quantised weights meet int8 activations (activations.h): an exact integer for each block of 32 columns, then
//   out += float(integer) * (weight scale * activation scale)  [+= minimum * activation sum]
// over ascending blocks in float32, each operation rounded: the same bits on every instruction set.
#pragma once

#include <span>

#include "base/parallel.h"
#include "kernels/matrix.h"

namespace dsmoe::kernels {

/// On the calling thread.
void matmul(const Product& product);
/// The reference: every dot product in double, in order.
void matmul_ref(const Product& product);

/// Several products as one list of tiles, blocks of their weight rows, in one parallel region.
void matmul(const base::ParallelFor& parallel_for, std::span<const Product> products);
/// out_TN = x_TK weights^T for whole matrices; makes the activations that quantised weights need.
void matmul(const base::ParallelFor& parallel_for, const Matrix& weights, std::span<const float> x_TK, int64_t tokens,
            std::span<float> out_TN);

/// Rows begin .. end of those of a product, and where the thread reads next.
Product part_of(const Product& whole, int64_t begin, int64_t end, const void* next);

/// How work is cut, never into what (row_list.h). A row of weights times `tokens` tokens, in multiply-adds; or, where
/// they are few, what reading it takes: a byte counts as four, so that threads whose shares are of different types end
/// together.
int64_t row_work(const Matrix& weights, int64_t tokens);
/// Items per chunk for `count` items of `work` multiply-adds together.
int64_t items_per_chunk(int64_t count, int64_t work);

/// Where a row of a matrix lies.
inline const uint8_t* row_address(const Matrix& m, int64_t row) {
  return static_cast<const uint8_t*>(m.data) + row * row_bytes(m.type, m.cols);
}

/// One weight as a float, whatever its type; and a whole row, which costs no more than a weight where blocks are large.
float weight_at(const Matrix& weights, int64_t row, int64_t col);
void weight_row(const Matrix& weights, int64_t row, std::span<float> values);

/// bf16 of a float, to nearest even (NaN stays one), and back.
uint16_t to_bf16(float x);
float from_bf16(uint16_t bits);

}  // namespace dsmoe::kernels
