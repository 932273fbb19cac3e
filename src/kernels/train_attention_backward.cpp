#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/train_problem.h"

namespace dsmoe::kernels {
namespace {

struct BackwardBuffers {
  explicit BackwardBuffers(const AttentionSequence& a)
      : keys(scratch.numbers_in_step(padded_positions(a) * a.head_size, a.cosines)),
        values(scratch.numbers(padded_positions(a) * a.head_size)),
        packed_keys(scratch.numbers(packed_by_block(a))),
        grad_keys(scratch.floats(padded_positions(a) * padded_head(a))),
        grad_values(scratch.floats(padded_positions(a) * padded_head(a))),
        queries(scratch.numbers_in_step(kBlock * a.head_size, a.cosines)),
        grad_queries(scratch.floats(kBlock * padded_head(a))),
        delta(scratch.floats(kBlock)),
        scores(scratch.floats(kBlock * kBlock)),
        grad_p(scratch.floats(kBlock * kBlock)),
        p(scratch.numbers(kBlock * kBlock)),
        grad_scores(scratch.numbers(kBlock * kBlock)),
        grad_pairs(scratch.numbers(kBlock * kBlock)),
        queries_across(scratch.numbers(packed_numbers(a.head_size, kBlock))),
        grad_out_across(scratch.numbers(packed_numbers(a.head_size, kBlock))),
        queries_along(scratch.numbers(packed_numbers(kBlock, padded_head(a)))),
        grad_out_along(scratch.numbers(packed_numbers(kBlock, padded_head(a)))) {}
  Scratch scratch;
  void *keys, *values, *packed_keys;  ///< turned keys and values as rows; keys as right operands by block
  float *grad_keys, *grad_values;
  void* queries;
  float *grad_queries, *delta, *scores, *grad_p;
  void *p, *grad_scores, *grad_pairs;
  // A block's queries and gradients of outputs as right operands: columns of scores, and rows that are summed over.
  void *queries_across, *grad_out_across, *queries_along, *grad_out_along;
};

/// A gradient of attention as a whole; partial sums of keys and values where problems are split.
struct BackwardCall {
  const void* grad_out;
  void* grad_qkv;
  std::span<std::vector<float>> partial;  ///< of each item [2, padded S, padded A]: its sums of keys, of values
};

/// The gradient of a block's queries: dS, keys by queries, is summed over its rows.
void add_query_gradients(const Problem& problem, int64_t rows, int64_t block, int64_t keys, const BackwardBuffers& b) {
  const AttentionSequence& a = problem.a;
  const bool pairs = a.type == Number::kBf16;
  TileProduct product;
  product.left = pairs ? b.grad_pairs : b.grad_scores;
  product.row_step = numbers_per_cell(a.type), product.cell_step = numbers_per_cell(a.type) * kBlock;
  product.rows = rows, product.cells = cells_of(a.type, keys), product.add = true;
  const void* packed = at(b.packed_keys, a.type, packed_numbers(kBlock, padded_head(a)) * block);
  multiply(a.type, product, packed, keys, a.head_size, b.grad_queries, padded_head(a));
}

/// Scores are keys by queries, so that the rows of P and dS are left operands of dV and dK as they lie.
void backward_block(const Problem& problem, int64_t first, int64_t rows, int64_t block, int64_t head,
                    const BackwardBuffers& b) {
  const AttentionSequence& a = problem.a;
  const int64_t size = a.head_size, width = padded_head(a);
  const int64_t from = block * kBlock, keys = problem.keys_in(block, first + rows);
  multiply(a.type, rows_product(a.type, at(b.keys, a.type, from * size), size, keys, size), b.queries_across, size,
           rows, b.scores, kBlock);
  multiply(a.type, rows_product(a.type, at(b.values, a.type, from * size), size, keys, size), b.grad_out_across, size,
           rows, b.grad_p, kBlock);

  SoftmaxGradTile tile;
  tile.scores = b.scores, tile.grad_p = b.grad_p;
  tile.keys = keys, tile.queries = rows, tile.stride = kBlock, tile.lead = first - from;
  tile.log_sum = a.log_sums(head) + first;
  tile.delta = b.delta, tile.p = b.p, tile.grad_scores = b.grad_scores, tile.grad_pairs = b.grad_pairs;
  kernels().train.softmax_grad_tile[static_cast<size_t>(a.type)](tile);

  TileProduct to_values = rows_product(a.type, b.p, kBlock, keys, rows);
  TileProduct to_keys = rows_product(a.type, b.grad_scores, kBlock, keys, rows);
  to_values.add = to_keys.add = true;
  multiply(a.type, to_values, b.grad_out_along, rows, size, b.grad_values + from * width, width);
  multiply(a.type, to_keys, b.queries_along, rows, size, b.grad_keys + from * width, width);
  add_query_gradients(problem, rows, block, keys, b);
}

void backward_queries(const Problem& problem, const BackwardCall& call, int64_t head, int64_t first,
                      const BackwardBuffers& b) {
  const AttentionSequence& a = problem.a;
  const int64_t size = a.head_size, rows = std::min(kBlock, a.positions - first);
  problem.turn(first, rows, problem.query_column(head), problem.query_scale(), b.queries);
  const int64_t next = first + kBlock * problem.pieces, next_rows = std::clamp<int64_t>(a.positions - next, 0, kBlock);
  prefetch_queries(problem, head, next);
  for (const void* data : {call.grad_out, static_cast<const void*>(a.out)}) {
    prefetch_rows(a.type, at(data, a.type, problem.out_element(next, head)), a.heads * size, next_rows, size);
  }
  const RowsView query_rows{b.queries, size, nullptr};
  const RowsView grad_rows{at(call.grad_out, a.type, problem.out_element(first, head)), a.heads * size, nullptr};
  pack_right(a.type, query_rows, Along::kOutput, size, rows, a.type, b.queries_across);
  pack_right(a.type, grad_rows, Along::kOutput, size, rows, a.type, b.grad_out_across);
  pack_right(a.type, query_rows, Along::kDepth, rows, size, a.type, b.queries_along);
  pack_right(a.type, grad_rows, Along::kDepth, rows, size, a.type, b.grad_out_along);
  RowDots deltas;
  deltas.a = grad_rows.data, deltas.b = at(a.out, a.type, problem.out_element(first, head));
  deltas.stride = a.heads * size, deltas.rows = rows, deltas.n = size, deltas.out = b.delta;
  kernels().train.row_dots[static_cast<size_t>(a.type)](deltas);
  std::fill_n(b.grad_queries, kBlock * padded_head(a), 0.0f);
  for (int64_t block = 0; block * kBlock < first + rows; ++block) {
    backward_block(problem, first, rows, block, head, b);
  }
  problem.turn_back(first, rows, problem.query_column(head), problem.query_scale(), b.grad_queries, call.grad_qkv);
}

/// Sums of one key/value head's gradients to their place in grad_qkv.
void store_key_gradients(const Problem& problem, const BackwardCall& call, const float* keys, const float* values) {
  const AttentionSequence& a = problem.a;
  problem.turn_back(0, a.positions, problem.key_column(), 1, keys, call.grad_qkv);
  ScaledRows rows;
  rows.x = values, rows.x_stride = padded_head(a), rows.rows = a.positions, rows.n = a.head_size;
  rows.out = at(call.grad_qkv, a.type, problem.row(0) * a.width() + problem.value_column());
  rows.out_stride = a.width();
  kernels().train.scaled_rows[static_cast<size_t>(a.type)](rows);
}

void backward_problem(const Problem& problem, const BackwardCall& call) {
  const AttentionSequence& a = problem.a;
  const BackwardBuffers b(a);
  const int64_t numbers = padded_positions(a) * padded_head(a);
  turn_keys(problem, b.keys);
  for (int64_t i = 0; i < a.positions; ++i) {
    std::memcpy(at(b.values, a.type, i * a.head_size), problem.qkv_at(i, problem.value_column()),
                static_cast<size_t>(a.head_size * number_bytes(a.type)));
  }
  pack_by_block(problem, b.keys, a.head_size, b.packed_keys);
  std::fill_n(b.grad_keys, numbers, 0.0f);
  std::fill_n(b.grad_values, numbers, 0.0f);
  for (int64_t g = 0; g < a.group(); ++g) {
    for (int64_t block = problem.piece; block < problem.blocks(); block += problem.pieces) {
      backward_queries(problem, call, problem.kv_head * a.group() + g, block * kBlock, b);
    }
  }
  if (problem.pieces == 1) return store_key_gradients(problem, call, b.grad_keys, b.grad_values);
  std::vector<float>& sums = call.partial[static_cast<size_t>(problem.item)];
  sums.assign(b.grad_keys, b.grad_keys + numbers);
  sums.insert(sums.end(), b.grad_values, b.grad_values + numbers);
}

}  // namespace

void attention_backward(const base::ParallelFor& parallel_for, const TrainAttention& a, const void* grad_out,
                        void* grad_qkv) {
  const int64_t problems = a.sequences() * a.kv_heads, pieces = pieces_of(a);
  std::vector<std::vector<float>> partial(pieces > 1 ? static_cast<size_t>(problems * pieces) : 0);
  const BackwardCall call{grad_out, grad_qkv, partial};
  run_problems(parallel_for, a, [&](const Problem& problem) { backward_problem(problem, call); });
  if (pieces == 1) return;
  parallel_for(problems, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin * pieces; item < end * pieces; item += pieces) {
      std::vector<float>& sums = partial[static_cast<size_t>(item)];
      for (int64_t piece = 1; piece < pieces; ++piece) {
        const std::vector<float>& more = partial[static_cast<size_t>(item + piece)];
        for (size_t i = 0; i < sums.size(); ++i) sums[i] += more[i];
      }
      const Problem whole = problem_of(a, item, pieces);
      store_key_gradients(whole, call, sums.data(), sums.data() + sums.size() / 2);
    }
  });
}

}  // namespace dsmoe::kernels
