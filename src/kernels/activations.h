// Activations as quantised weights meet them: rows of int8 in blocks of 32, each with a float32 scale. Made once per
// row and used by every product of that row (queries, keys and values; gate and up; all of a token's experts).
//
// Of a block x: scale = max |x| / 127, values = round(x * (127 / max |x|)) to nearest even. A block below 2^-100 is
// zero; one with a value that is not finite has scale NaN, and so have its row's outputs. The same bits on every
// instruction set.
#pragma once

#include <span>
#include <vector>

#include "base/parallel.h"
#include "kernels/matrix.h"

namespace dsmoe::kernels {

inline constexpr int64_t kActivationBlock = 32;

/// x.size() / 32 blocks.
void quantise_activations(std::span<const float> x, int8_t* values, ActivationBlock* blocks);
void quantise_activations_ref(std::span<const float> x, int8_t* values, ActivationBlock* blocks);

/// Memory for such rows, kept from call to call. Different blocks may be filled by different threads.
class ActivationRows {
 public:
  /// `cols` is a multiple of 32. What was there is lost.
  void resize(int64_t rows, int64_t cols);
  /// Columns first_col ... of a row; first_col and x.size() are multiples of 32.
  void quantise(int64_t row, int64_t first_col, std::span<const float> x);
  /// All rows of x_TD.
  void quantise(const base::ParallelFor& parallel_for, std::span<const float> x_TD);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  Activations view() const { return {values_.data(), blocks_.data()}; }

 private:
  int64_t rows_ = 0, cols_ = 0;
  std::vector<int8_t> values_;
  std::vector<ActivationBlock> blocks_;
};

}  // namespace dsmoe::kernels
