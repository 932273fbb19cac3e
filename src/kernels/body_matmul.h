// The product of weight rows and activations, over the Vec of the including unit. Reference and contract: product.h.
//
// Every output is one dot product with its own 16 partial sums over ascending columns, folded once at the end. Blocking
// decides only which dot products run side by side, so no output depends on its neighbours.
#pragma once

#include "kernels/body_prefetch.h"
#include "kernels/table.h"
#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// Rows x Tokens dot products side by side. W is the stored weight: float, or uint16_t holding bf16.
template <int Rows, int Tokens, class W, class AfterThem>
inline void dot_tile(const W* weights, int64_t cols, const float* const* x, float* const* out, AfterThem after) {
  Vec sums[Rows][Tokens];
  unrolled<Rows * Tokens>([&](int i) DSMOE_INLINE { sums[i / Tokens][i % Tokens] = Vec::zero(); });
  const auto step = [&](auto load) DSMOE_INLINE {
    after.fetch(Rows * kLanes * static_cast<int64_t>(sizeof(W)));
    Vec w[Rows];
    unrolled<Rows>([&](int r) DSMOE_INLINE { w[r] = load(weights + r * cols); });
    unrolled<Tokens>([&](int t) DSMOE_INLINE {
      const Vec v = load(x[t]);
      unrolled<Rows>([&](int r) DSMOE_INLINE { sums[r][t] = fma(w[r], v, sums[r][t]); });
    });
  };
  int64_t k = 0;
  for (; k + kLanes <= cols; k += kLanes) {
    step([&](auto* p) DSMOE_INLINE { return Vec::load(p + k); });
  }
  if (k < cols) {
    step([&](auto* p) DSMOE_INLINE { return Vec::load(p + k, cols - k); });
  }
  unrolled<Tokens>([&](int t) DSMOE_INLINE {
    if constexpr (Rows % 4 == 0) {
      unrolled<Rows / 4>([&](int i) DSMOE_INLINE {
        const int r = i * 4;
        sum_four(sums[r][t], sums[r + 1][t], sums[r + 2][t], sums[r + 3][t], out[t] + r);
      });
    } else {
      unrolled<Rows>([&](int r) DSMOE_INLINE { out[t][r] = sum(sums[r][t]); });
    }
  });
}

/// All rows of the product for Tokens tokens, Rows at a time and the rest one by one.
template <int Rows, int Tokens, class W>
inline void dot_rows(const Product& p, int64_t token) {
  const float* x[Tokens];
  for (int t = 0; t < Tokens; ++t) {
    const int64_t row = p.x_rows ? p.x_rows[token + t] : token + t;
    x[t] = p.x + row * p.x_stride;
  }
  const auto run = [&](auto rows_at_once, int64_t& n) {
    constexpr int kRows = decltype(rows_at_once)::value;
    for (; n + kRows <= p.row_end; n += kRows) {
      float* out[Tokens];
      for (int t = 0; t < Tokens; ++t) out[t] = p.out_of(token + t) + n;
      const W* weights = static_cast<const W*>(p.weights.data) + n * p.weights.cols;
      if constexpr (Tokens == 1 && sizeof(W) == 2) {  // twice as wide, the machine's own prefetching keeps up
        const Prefetch prefetch = prefetch_rows(p, n, kRows, p.weights.cols * static_cast<int64_t>(sizeof(W)));
        dot_tile<kRows, 1>(weights, p.weights.cols, x, out, prefetch);
      } else {
        dot_tile<kRows, Tokens>(weights, p.weights.cols, x, out, NoPrefetch{});
      }
    }
  };
  int64_t n = p.row_begin;
  run(Constant<Rows>{}, n);
  run(Constant<1>{}, n);
}

template <class W>
void matmul(const Product& p) {
  int64_t token = 0;
  for (; kTileTokens > 1 && token + kTileTokens <= p.tokens; token += kTileTokens) {
    dot_rows<kTileRows, kTileTokens, W>(p, token);
  }
  // Four rows of 2048 columns of two bytes are as many as the nearest cache holds beside the next four.
  constexpr int kRows = sizeof(W) == 2 ? 4 : kMatvecRows;
  for (; token < p.tokens; ++token) dot_rows<kRows, 1, W>(p, token);
}

}  // namespace
}  // namespace dsmoe::kernels
