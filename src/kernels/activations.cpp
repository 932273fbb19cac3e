#include "kernels/activations.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/product.h"

namespace dsmoe::kernels {
namespace {

int64_t whole_blocks(std::span<const float> x) {
  const auto n = static_cast<int64_t>(x.size());
  DSMOE_CHECK(n % kActivationBlock == 0, "whole blocks of 32");
  return n / kActivationBlock;
}

}  // namespace

void quantise_activations(std::span<const float> x, int8_t* values, ActivationBlock* blocks) {
  kernels().quantise_activations(x.data(), whole_blocks(x), values, blocks);
}

void quantise_activations_ref(std::span<const float> x, int8_t* values, ActivationBlock* blocks) {
  for (int64_t b = 0; b < whole_blocks(x); ++b) {
    const float* block = x.data() + b * kActivationBlock;
    float top = 0;
    bool finite = true;
    for (int64_t i = 0; i < kActivationBlock; ++i) {
      top = std::max(top, std::abs(block[i]));
      finite = finite && std::isfinite(block[i]);
    }
    const bool empty = !finite || top < 0x1p-100f;
    int32_t total = 0, half = 0;
    for (int64_t i = 0; i < kActivationBlock; ++i) {
      const float value = empty ? 0 : std::nearbyint(block[i] * (127 / top));
      values[b * kActivationBlock + i] = static_cast<int8_t>(value);
      total += static_cast<int32_t>(value);
      if (i < kActivationBlock / 2) half = total;
    }
    const float scale = !finite ? std::numeric_limits<float>::quiet_NaN() : empty ? 0 : top / 127;
    blocks[b] = {scale, scale * static_cast<float>(total), total, half};
  }
}

void ActivationRows::resize(int64_t rows, int64_t cols) {
  DSMOE_CHECK(cols % kActivationBlock == 0, "whole blocks of 32");
  rows_ = rows;
  cols_ = cols;
  const auto n = static_cast<size_t>(rows * cols);
  if (values_.size() < n) {
    values_.resize(n);
    blocks_.resize(n / kActivationBlock);
  }
}

void ActivationRows::quantise(int64_t row, int64_t first_col, std::span<const float> x) {
  DSMOE_CHECK(row < rows_ && first_col % kActivationBlock == 0 && first_col + std::ssize(x) <= cols_, "inside a row");
  const int64_t at = row * cols_ + first_col;
  quantise_activations(x, values_.data() + at, blocks_.data() + at / kActivationBlock);
}

void ActivationRows::quantise(const base::ParallelFor& parallel_for, std::span<const float> x_TD) {
  DSMOE_CHECK(std::ssize(x_TD) == rows_ * cols_, "x is [rows, cols]");
  parallel_for(rows_, items_per_chunk(rows_, 2 * rows_ * cols_), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      quantise(t, 0, x_TD.subspan(static_cast<size_t>(t * cols_), static_cast<size_t>(cols_)));
    }
  });
}

}  // namespace dsmoe::kernels
