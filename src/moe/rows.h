// Elementwise work over the rows of a matrix in pieces that stay in a core's cache.
//
// LibTorch runs one operation over the whole tensor before the next begins, so a chain of ten operations reads and
// writes memory ten times. Here each thread takes a few rows through the whole chain. Pieces do not depend on the
// number of threads, and rows do not depend on each other, so neither do results.
#pragma once

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <cstdint>

namespace dsmoe::moe {

using torch::Tensor;

/// float32, or float64 where the input is: what norms, softmax, sigmoid and sums are computed in.
inline torch::ScalarType wide(torch::ScalarType type) { return type == torch::kFloat64 ? type : torch::kFloat32; }

/// Rows a piece has when one row holds `width` values: a quarter of a megabyte in float32, of which a chain of
/// operations keeps a few alive.
inline int64_t rows_per_piece(int64_t width) {
  return std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(1, width));
}

/// body(piece, begin, end) for each piece of [0, rows); in parallel on a CPU, as one piece elsewhere. Runs below
/// autograd: for the insides of autograd functions.
template <class Body>
void for_row_pieces(const Tensor& like, int64_t rows, int64_t per_piece, const Body& body) {
  if (!like.is_cpu()) {
    if (rows > 0) body(int64_t{0}, int64_t{0}, rows);
    return;
  }
  at::parallel_for(0, (rows + per_piece - 1) / per_piece, 1, [&](int64_t first, int64_t last) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    for (int64_t piece = first; piece < last; ++piece) {
      body(piece, piece * per_piece, std::min(rows, (piece + 1) * per_piece));
    }
  });
}

}  // namespace dsmoe::moe
