// Weights that stay as a file stores them, in mapped memory and blocks of any type that kernels read.
//
// Nothing of them is kept: each product has the matrices that it needs dequantised and packed into memory that all
// stored weights of a model share, a few experts at a time, and the next product has it anew. Values are those of the
// float32 tensor that the stored numbers mean, so that every product has the bits it has over that.
#pragma once

#include <memory>
#include <vector>

#include "kernels/matrix.h"
#include "moe/weight.h"

namespace dsmoe::moe {

/// A matrix in borrowed memory, and where its rows are to be: row r of the weight is row order[r] of the matrix; no
/// order: they are as they are.
struct StoredMatrix {
  kernels::Matrix values;
  std::vector<int32_t> order = {};
};

/// A weight [N, K], or a stack [E, N, K]: for each expert (or the one matrix) the matrices that stand above each other
/// in it. `type` is what get() has the values in: float32 or float64.
WeightPtr stored_weight(std::vector<int64_t> sizes, std::vector<std::vector<StoredMatrix>> experts,
                        torch::ScalarType type, std::shared_ptr<PackedMemory> memory);

}  // namespace dsmoe::moe
