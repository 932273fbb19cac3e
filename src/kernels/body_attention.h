// Causal attention over cache blocks, over the Vec of the including unit. Definition and contract: attention.h.
//
// Each query walks the blocks it sees in ascending order with a running maximum, a running sum and a running output
// (online softmax). A block's scores are dot products as in body_matmul.h; values are added in ascending position. So
// a query's bits depend on its own row and the cache alone, not on which queries share its call.
#pragma once

#include "kernels/body_elementwise.h"
#include "kernels/body_matmul.h"

namespace dsmoe::kernels {
namespace {

/// out += sum over j < count of p[j] values[j], four vectors of the head at a time.
inline void add_weighted_values(const float* p, const float* values, int64_t count, int64_t head_dim, float* out) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= head_dim; d += 4 * kLanes) {
    Vec sums[4];
    for (int i = 0; i < 4; ++i) sums[i] = Vec::load(out + d + i * kLanes);
    for (int64_t j = 0; j < count; ++j) {
      const Vec weight = Vec::all(p[j]);
      for (int i = 0; i < 4; ++i) sums[i] = fma(weight, Vec::load(values + j * head_dim + d + i * kLanes), sums[i]);
    }
    for (int i = 0; i < 4; ++i) sums[i].store(out + d + i * kLanes);
  }
  for (; d < head_dim; d += kLanes) {
    const int64_t lanes = head_dim - d;
    Vec sum = Vec::load(out + d, lanes);
    for (int64_t j = 0; j < count; ++j) sum = fma(Vec::all(p[j]), Vec::load(values + j * head_dim + d, lanes), sum);
    sum.store(out + d, lanes);
  }
}

/// One query's running state over blocks.
struct Running {
  float top, total;
};

inline void attend_block(const Attention& a, int64_t row, int64_t block, Running& state, float* scores) {
  const int64_t begin = block * kCacheBlock;
  const int64_t count = a.visible[row] - begin < kCacheBlock ? a.visible[row] - begin : kCacheBlock;
  Product product;
  product.weights = {WeightType::kF32, a.blocks[block] + a.keys_at, count, a.head_dim};
  product.row_end = count;
  product.x = a.queries[row];
  product.tokens = 1;
  product.out = scores;
  dot_rows<kMatvecRows, 1, float>(product, 0);
  const Vec scale = Vec::all(a.scale);
  each_vec(count, [&](int64_t i, int64_t lanes) { (Vec::load(scores + i, lanes) * scale).store(scores + i, lanes); });

  const float block_top = largest_of(scores, count);
  const float top = state.top > block_top ? state.top : block_top;
  float* out = a.out[row];
  if (block > 0 && top != state.top) {  // what is there was relative to a smaller maximum
    float correction = state.top - top;
    exponential_row(&correction, 1, &correction);
    state.total *= correction;
    const Vec factor = Vec::all(correction);
    each_vec(a.head_dim, [&](int64_t i, int64_t lanes) { (Vec::load(out + i, lanes) * factor).store(out + i, lanes); });
  }
  state.top = top;
  state.total += exponentials_below(scores, top, count, scores);
  add_weighted_values(scores, a.blocks[block] + a.values_at, count, a.head_dim, out);
}

void attention(const Attention& a) {
  Running states[kAttentionRows];
  float scores[kCacheBlock];
  int64_t longest = 0;
  for (int64_t row = 0; row < a.rows; ++row) {
    states[row] = {-3.4e38f, 0.0f};
    longest = a.visible[row] > longest ? a.visible[row] : longest;
    each_vec(a.head_dim, [&](int64_t i, int64_t lanes) { Vec::zero().store(a.out[row] + i, lanes); });
  }
  // Blocks outside, queries inside: a block's keys and values are read from memory once for all of them.
  for (int64_t block = 0; block * kCacheBlock < longest; ++block) {
    for (int64_t row = 0; row < a.rows; ++row) {
      if (block * kCacheBlock < a.visible[row]) attend_block(a, row, block, states[row], scores);
    }
  }
  for (int64_t row = 0; row < a.rows; ++row) {
    float* out = a.out[row];
    const Vec total = Vec::all(states[row].total);
    each_vec(a.head_dim, [&](int64_t i, int64_t lanes) { (Vec::load(out + i, lanes) / total).store(out + i, lanes); });
  }
}

}  // namespace
}  // namespace dsmoe::kernels
