#include "kernels/train_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/train_problem.h"

namespace dsmoe::kernels {
namespace {

struct ForwardBuffers {
  explicit ForwardBuffers(const AttentionSequence& a)
      : turned(scratch.numbers_in_step(a.positions * a.head_size, a.cosines)),
        keys(scratch.numbers(packed_numbers(a.head_size, padded_positions(a)))),
        values(scratch.numbers(packed_by_block(a))),
        queries(scratch.numbers_in_step(kBlock * a.head_size, a.cosines)),
        p(scratch.numbers(kBlock * kBlock)),
        scores(scratch.floats(kBlock * kBlock)),
        out(scratch.floats(kBlock * padded_head(a))),
        top(scratch.floats(kBlock)),
        total(scratch.floats(kBlock)) {}
  Scratch scratch;
  void *turned, *keys, *values, *queries, *p;
  float *scores, *out, *top, *total;
};

/// One block of queries against one block of keys: a score product, the softmax over it, a value product.
void forward_block(const Problem& problem, int64_t first, int64_t rows, int64_t block, const ForwardBuffers& b) {
  const AttentionSequence& a = problem.a;
  const int64_t keys = problem.keys_in(block, first + rows), width = padded_head(a);
  const void* block_keys = at(b.keys, a.type, packed_numbers(a.head_size, kBlock) * block);
  multiply(a.type, rows_product(a.type, b.queries, a.head_size, rows, a.head_size), block_keys, a.head_size, keys,
           b.scores, kBlock);

  SoftmaxTile tile;
  tile.scores = b.scores, tile.rows = rows, tile.keys = keys, tile.stride = kBlock;
  tile.lead = first - block * kBlock;
  tile.top = b.top, tile.total = b.total, tile.out = b.out, tile.width = width, tile.p = b.p;
  kernels().train.softmax_tile[static_cast<size_t>(a.type)](tile);

  TileProduct product = rows_product(a.type, b.p, kBlock, rows, keys);
  product.add = true;
  multiply(a.type, product, at(b.values, a.type, packed_numbers(kBlock, width) * block), keys, a.head_size, b.out,
           width);
}

void forward_queries(const Problem& problem, int64_t head, int64_t first, const ForwardBuffers& b) {
  const AttentionSequence& a = problem.a;
  const int64_t rows = std::min(kBlock, a.positions - first);
  problem.turn(first, rows, problem.query_column(head), problem.query_scale(), b.queries);
  prefetch_queries(problem, head, first + kBlock * problem.pieces);
  std::fill_n(b.out, kBlock * padded_head(a), 0.0f);
  std::fill_n(b.total, rows, 0.0f);
  std::fill_n(b.top, rows, std::numeric_limits<float>::lowest());
  for (int64_t block = 0; block * kBlock < first + rows; ++block) forward_block(problem, first, rows, block, b);
  float* log_sum = a.log_sums(head) + first;
  for (int64_t i = 0; i < rows; ++i) {
    log_sum[i] = b.top[i] + std::log(b.total[i]);
    b.total[i] = 1 / b.total[i];
  }
  ScaledRows scaled;
  scaled.x = b.out, scaled.x_stride = padded_head(a), scaled.factors = b.total;
  scaled.rows = rows, scaled.n = a.head_size;
  scaled.out = at(a.out, a.type, problem.out_element(first, head)), scaled.out_stride = a.heads * a.head_size;
  kernels().train.scaled_rows[static_cast<size_t>(a.type)](scaled);
}

void forward_problem(const Problem& problem) {
  const AttentionSequence& a = problem.a;
  const ForwardBuffers b(a);
  turn_keys(problem, b.turned);
  pack_right(a.type, {b.turned, a.head_size, nullptr}, Along::kOutput, a.head_size, a.positions, a.type, b.keys);
  pack_by_block(problem, problem.qkv_at(0, problem.value_column()), a.width(), b.values);
  for (int64_t g = 0; g < a.group(); ++g) {
    for (int64_t block = problem.piece; block < problem.blocks(); block += problem.pieces) {
      forward_queries(problem, problem.kv_head * a.group() + g, block * kBlock, b);
    }
  }
}

}  // namespace

void attention_forward(const base::ParallelFor& parallel_for, const TrainAttention& a) {
  run_problems(parallel_for, a, forward_problem);
}

}  // namespace dsmoe::kernels
