// Low-rank additions to products of stored weights: y += B (A x), an adapter beside a matrix (LoRA).
//
// Both are matrices of float32 or bf16; x are the float32 rows, also where the matrix beside is quantised and meets
// them as int8. An output's bits depend on its own row alone, as those of products do.
#pragma once

#include <span>
#include <vector>

#include "base/parallel.h"
#include "kernels/matrix.h"

namespace dsmoe::kernels {

struct LowRank {
  Matrix a;  ///< [r, K]; no rows: nothing is added
  Matrix b;  ///< [r, N], transposed: r is a handful, and sums over it run along outputs, so that no dot product is that
             ///< short
  bool adds() const { return a.rows > 0; }
};

/// narrow[t] = A x of each of the tokens' rows, [tokens, r]: what every output of a token needs. A product for a list
/// of them; `narrow` is borrowed memory.
Product narrow_product(const LowRank& adapter, const float* x, int64_t x_stride, const int32_t* x_rows, int64_t tokens,
                       float* narrow);

/// out_of(t)[n] += (B narrow[t])[n] for outputs begin .. end, on the calling thread.
void add_low_rank(const LowRank& adapter, int64_t begin, int64_t end, const float* narrow, int64_t tokens, float* out,
                  int64_t out_stride);

/// Memory of add_low_ranks, kept from call to call.
struct LowRankScratch {
  std::vector<float> narrow;
  std::vector<Product> products;
};
/// Adds to several finished products of float rows without an index, each to its own out: two parallel loops for all.
struct LowRankSum {
  const LowRank* adapter;
  const float* x;
  int64_t x_stride, tokens;
  float* out;
};
void add_low_ranks(const base::ParallelFor& parallel_for, std::span<const LowRankSum> sums, LowRankScratch& scratch);

}  // namespace dsmoe::kernels
