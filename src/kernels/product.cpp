#include "kernels/product.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"

namespace dsmoe::kernels {

void matmul(const Product& p) {
  DSMOE_CHECK(p.row_begin >= 0 && p.row_end <= p.weights.rows, "rows of the matrix");
  kernels().matmul[static_cast<size_t>(p.weights.type)](p);
}

void matmul_ref(const Product& p) {
  for (int64_t t = 0; t < p.tokens; ++t) {
    const float* x = p.x + (p.x_rows ? p.x_rows[t] : t) * p.x_stride;
    for (int64_t n = p.row_begin; n < p.row_end; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < p.weights.cols; ++k) sum += double{weight_at(p.weights, n, k)} * x[k];
      p.out[t * p.out_stride + n] = static_cast<float>(sum);
    }
  }
}

namespace {

constexpr int64_t kWorthAThread = int64_t{1} << 17;  // multiply-adds

struct Tile {
  const Product* product;
  int64_t begin, end;
};

}  // namespace

int64_t rows_per_chunk(int64_t cols, int64_t tokens) {
  const int64_t rows = kWorthAThread / std::max<int64_t>(1, cols * tokens);
  return std::max<int64_t>(16, rows / 16 * 16);
}

int64_t items_per_chunk(int64_t count, int64_t work) {
  const int64_t chunks = std::max<int64_t>(1, work / kWorthAThread);
  return std::max<int64_t>(1, (count + chunks - 1) / chunks);
}

void matmul(const base::ParallelFor& parallel_for, std::span<const Product> products) {
  std::vector<Tile> tiles;
  int64_t work = 0;
  for (const Product& product : products) {
    const int64_t step = rows_per_chunk(product.weights.cols, product.tokens);
    for (int64_t begin = product.row_begin; begin < product.row_end; begin += step) {
      tiles.push_back({&product, begin, std::min(product.row_end, begin + step)});
    }
    work += (product.row_end - product.row_begin) * product.weights.cols * product.tokens;
  }
  const auto count = static_cast<int64_t>(tiles.size());
  parallel_for(count, items_per_chunk(count, work), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const Tile& tile = tiles[static_cast<size_t>(i)];
      Product part = *tile.product;
      part.row_begin = tile.begin;
      part.row_end = tile.end;
      matmul(part);
    }
  });
}

void matmul(const base::ParallelFor& parallel_for, const Matrix& weights, std::span<const float> x_TK, int64_t tokens,
            std::span<float> out_TN) {
  DSMOE_CHECK(static_cast<int64_t>(x_TK.size()) == tokens * weights.cols, "x is [tokens, cols]");
  DSMOE_CHECK(static_cast<int64_t>(out_TN.size()) == tokens * weights.rows, "out is [tokens, rows]");
  const Product all{weights, 0, weights.rows, x_TK.data(), weights.cols, nullptr, tokens, out_TN.data(), weights.rows};
  matmul(parallel_for, {&all, 1});
}

float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float weight_at(const Matrix& weights, int64_t row, int64_t col) {
  const int64_t at = row * weights.cols + col;
  switch (weights.type) {
    case WeightType::kF32:
      return static_cast<const float*>(weights.data)[at];
    case WeightType::kBf16:
      return from_bf16(static_cast<const uint16_t*>(weights.data)[at]);
  }
  DSMOE_CHECK(false, "a known weight type");
  return 0;
}

}  // namespace dsmoe::kernels
