#include "kernels/train_attention.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"

namespace dsmoe::kernels {
namespace {

// Queries and keys of a block. Larger blocks waste more above the diagonal, smaller ones make small products. Both are
// one number, so that a block of keys is met as a whole: it was packed as a whole.
constexpr int64_t kBlock = 64;
// A problem is split into pieces where there are fewer of them than this, so that a few cores find work.
constexpr int64_t kItems = 8;
// Floats of a cache line: buffers begin at their multiples, so that vectors do not straddle lines.
constexpr int64_t kLine = 16;

int64_t blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }
const std::byte* at(const void* data, Number type, int64_t element) {
  return static_cast<const std::byte*>(data) + element * number_bytes(type);
}
std::byte* at(void* data, Number type, int64_t element) {
  return static_cast<std::byte*>(data) + element * number_bytes(type);
}

/// Memory of one thread, kept between calls: the first piece asked for is the first piece of the call before, grown
/// where it was smaller.
class Scratch {
 public:
  float* floats(int64_t count) {
    thread_local std::deque<std::vector<float>> pieces;
    if (pieces.size() == next_) pieces.emplace_back();
    std::vector<float>& piece = pieces[next_++];
    if (static_cast<int64_t>(piece.size()) < count + kLine) piece.assign(static_cast<size_t>(count + kLine), 0.0f);
    return piece.data() + (64 - reinterpret_cast<uintptr_t>(piece.data()) % 64) % 64 / sizeof(float);
  }
  /// Room for `count` elements of either type.
  void* numbers(int64_t count) { return floats(count); }

 private:
  size_t next_ = 0;
};

/// One key/value head of one sequence, or the part of it that one work item has.
struct Problem {
  const TrainAttention& a;
  int64_t sequence, kv_head, piece, pieces;

  int64_t blocks() const { return blocks_of(a.positions, kBlock); }
  int64_t keys_in(int64_t block, int64_t end) const { return std::min(kBlock, end - block * kBlock); }
  /// Columns of qkv where the parts of this problem begin.
  int64_t query_column(int64_t head) const { return head * a.head_size; }
  int64_t key_column() const { return (a.heads + kv_head) * a.head_size; }
  int64_t value_column() const { return (a.heads + a.kv_heads + kv_head) * a.head_size; }
  int64_t row(int64_t position) const { return sequence * a.positions + position; }
  const void* qkv_at(int64_t position, int64_t column) const {
    return at(a.qkv, a.type, row(position) * a.width() + column);
  }
  int64_t out_element(int64_t position, int64_t head) const {
    return row(position) * a.heads * a.head_size + head * a.head_size;
  }
  float query_scale() const { return static_cast<float>(1 / std::sqrt(static_cast<double>(a.head_size))); }
  Rotation rotation(int64_t position, float scale, float direction) const {
    const int64_t half = a.head_size / 2;
    return {a.cosines + position * half, a.sines + position * half, half, scale, direction};
  }
  /// Rows of qkv from `position` on, turned, side by side.
  void turn(int64_t position, int64_t rows, int64_t column, float scale, void* out) const {
    const auto rotate = kernels().train.rotate[static_cast<size_t>(a.type)];
    for (int64_t i = 0; i < rows; ++i) {
      rotate(rotation(position + i, scale, 1), qkv_at(position + i, column), at(out, a.type, i * a.head_size));
    }
  }
};

/// Positions and columns of a head as buffers have them: whole blocks and whole panels.
int64_t padded_positions(const TrainAttention& a) { return blocks_of(a.positions, kBlock) * kBlock; }
int64_t padded_head(const TrainAttention& a) { return blocks_of(a.head_size, kPanel) * kPanel; }
/// Numbers of one panel, and cells of a sum, over k numbers.
int64_t panel_numbers(int64_t k) { return packed_numbers(k, kPanel); }
int64_t cells_of(Number type, int64_t k) { return type == Number::kF32 ? k : (k + 1) / 2; }
int64_t numbers_per_cell(Number type) { return type == Number::kF32 ? 1 : 2; }
/// Numbers of all blocks of keys packed with k running over a block's keys.
int64_t packed_by_block(const TrainAttention& a) {
  return blocks_of(a.positions, kBlock) * packed_numbers(kBlock, padded_head(a));
}

/// Rows of `source` as right operands, one a block of keys: k the keys, n the head.
void pack_by_block(const Problem& p, const void* source, int64_t stride, void* packed) {
  const Number type = p.a.type;
  for (int64_t block = 0; block < p.blocks(); ++block) {
    const RowsView rows{at(source, type, block * kBlock * stride), stride, nullptr};
    pack_right(type, rows, Along::kDepth, p.keys_in(block, p.a.positions), p.a.head_size, type,
               at(packed, type, block * packed_numbers(kBlock, padded_head(p.a))));
  }
}

/// Left rows that hold what is summed over side by side.
TileProduct rows_product(Number type, const void* left, int64_t stride, int64_t rows, int64_t k) {
  TileProduct product;
  product.left = left, product.row_step = stride, product.cell_step = numbers_per_cell(type);
  product.rows = rows, product.cells = cells_of(type, k);
  return product;
}

/// Multiplies by n columns that were packed over k.
void multiply(Number type, TileProduct product, const void* right, int64_t k, int64_t n, float* out, int64_t stride) {
  product.right = right, product.panels = blocks_of(n, kPanel), product.panel_stride = panel_numbers(k);
  product.out = out, product.out_stride = stride;
  kernels().train.tile_product[static_cast<size_t>(type)](product);
}

/// How many items a problem is cut into, by blocks of queries.
int64_t pieces_of(const TrainAttention& a) {
  const int64_t problems = std::max<int64_t>(1, a.batch * a.kv_heads);
  return std::clamp<int64_t>(kItems / problems, 1, std::max<int64_t>(1, blocks_of(a.positions, kBlock)));
}

void run_problems(const base::ParallelFor& parallel_for, const TrainAttention& a,
                  const std::function<void(const Problem&)>& run) {
  DSMOE_CHECK(a.head_size % 2 == 0 && a.heads % a.kv_heads == 0, "whole pairs and groups of heads");
  const int64_t problems = a.batch * a.kv_heads, pieces = pieces_of(a);
  parallel_for(problems * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t problem = item / pieces;
      run({a, problem / a.kv_heads, problem % a.kv_heads, item % pieces, pieces});
    }
  });
}

// ---- forward

struct ForwardBuffers {
  explicit ForwardBuffers(const TrainAttention& a)
      : turned(scratch.numbers(a.positions * a.head_size)),
        keys(scratch.numbers(packed_numbers(a.head_size, padded_positions(a)))),
        values(scratch.numbers(packed_by_block(a))),
        queries(scratch.numbers(kBlock * a.head_size)),
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
  const TrainAttention& a = problem.a;
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
  const TrainAttention& a = problem.a;
  const int64_t rows = std::min(kBlock, a.positions - first);
  problem.turn(first, rows, problem.query_column(head), problem.query_scale(), b.queries);
  std::fill_n(b.out, kBlock * padded_head(a), 0.0f);
  std::fill_n(b.total, rows, 0.0f);
  std::fill_n(b.top, rows, std::numeric_limits<float>::lowest());
  for (int64_t block = 0; block * kBlock < first + rows; ++block) forward_block(problem, first, rows, block, b);
  const auto scaled = kernels().train.scaled[static_cast<size_t>(a.type)];
  for (int64_t i = 0; i < rows; ++i) {
    scaled(b.out + i * padded_head(a), 1 / b.total[i], a.head_size,
           at(a.out, a.type, problem.out_element(first + i, head)));
    a.log_sum[(problem.sequence * a.heads + head) * a.positions + first + i] = b.top[i] + std::log(b.total[i]);
  }
}

void forward_problem(const Problem& problem) {
  const TrainAttention& a = problem.a;
  const ForwardBuffers b(a);
  problem.turn(0, a.positions, problem.key_column(), 1, b.turned);
  pack_right(a.type, {b.turned, a.head_size, nullptr}, Along::kOutput, a.head_size, a.positions, a.type, b.keys);
  pack_by_block(problem, problem.qkv_at(0, problem.value_column()), a.width(), b.values);
  for (int64_t g = 0; g < a.group(); ++g) {
    for (int64_t block = problem.piece; block < problem.blocks(); block += problem.pieces) {
      forward_queries(problem, problem.kv_head * a.group() + g, block * kBlock, b);
    }
  }
}

// ---- backward

struct BackwardBuffers {
  explicit BackwardBuffers(const TrainAttention& a)
      : keys(scratch.numbers(padded_positions(a) * a.head_size)),
        values(scratch.numbers(padded_positions(a) * a.head_size)),
        packed_keys(scratch.numbers(packed_by_block(a))),
        grad_keys(scratch.floats(padded_positions(a) * padded_head(a))),
        grad_values(scratch.floats(padded_positions(a) * padded_head(a))),
        queries(scratch.numbers(kBlock * a.head_size)),
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
  float* partial;  ///< [items, 2, padded S, padded A]
};

/// The gradient of a block's queries: dS, keys by queries, is summed over its rows.
void add_query_gradients(const Problem& problem, int64_t rows, int64_t block, int64_t keys, const BackwardBuffers& b) {
  const TrainAttention& a = problem.a;
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
  const TrainAttention& a = problem.a;
  const int64_t size = a.head_size, width = padded_head(a);
  const int64_t from = block * kBlock, keys = problem.keys_in(block, first + rows);
  multiply(a.type, rows_product(a.type, at(b.keys, a.type, from * size), size, keys, size), b.queries_across, size,
           rows, b.scores, kBlock);
  multiply(a.type, rows_product(a.type, at(b.values, a.type, from * size), size, keys, size), b.grad_out_across, size,
           rows, b.grad_p, kBlock);

  SoftmaxGradTile tile;
  tile.scores = b.scores, tile.grad_p = b.grad_p;
  tile.keys = keys, tile.queries = rows, tile.stride = kBlock, tile.lead = first - from;
  tile.log_sum = a.log_sum + (problem.sequence * a.heads + head) * a.positions + first;
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
  const TrainAttention& a = problem.a;
  const auto type = static_cast<size_t>(a.type);
  const TrainTable& table = kernels().train;
  const int64_t size = a.head_size, rows = std::min(kBlock, a.positions - first);
  problem.turn(first, rows, problem.query_column(head), problem.query_scale(), b.queries);
  const RowsView query_rows{b.queries, size, nullptr};
  const RowsView grad_rows{at(call.grad_out, a.type, problem.out_element(first, head)), a.heads * size, nullptr};
  pack_right(a.type, query_rows, Along::kOutput, size, rows, a.type, b.queries_across);
  pack_right(a.type, grad_rows, Along::kOutput, size, rows, a.type, b.grad_out_across);
  pack_right(a.type, query_rows, Along::kDepth, rows, size, a.type, b.queries_along);
  pack_right(a.type, grad_rows, Along::kDepth, rows, size, a.type, b.grad_out_along);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t element = problem.out_element(first + i, head);
    b.delta[i] = table.dot[type](at(call.grad_out, a.type, element), at(a.out, a.type, element), size);
  }
  std::fill_n(b.grad_queries, kBlock * padded_head(a), 0.0f);
  for (int64_t block = 0; block * kBlock < first + rows; ++block) {
    backward_block(problem, first, rows, block, head, b);
  }
  for (int64_t i = 0; i < rows; ++i) {
    table.rotate_sums[type](problem.rotation(first + i, problem.query_scale(), -1), b.grad_queries + i * padded_head(a),
                            at(call.grad_qkv, a.type, problem.row(first + i) * a.width() + problem.query_column(head)));
  }
}

/// Sums of one key/value head's gradients to their place in grad_qkv.
void store_key_gradients(const Problem& problem, const BackwardCall& call, const float* keys, const float* values) {
  const TrainAttention& a = problem.a;
  const auto type = static_cast<size_t>(a.type);
  const TrainTable& table = kernels().train;
  for (int64_t i = 0; i < a.positions; ++i) {
    const int64_t row = problem.row(i) * a.width();
    table.rotate_sums[type](problem.rotation(i, 1, -1), keys + i * padded_head(a),
                            at(call.grad_qkv, a.type, row + problem.key_column()));
    table.scaled[type](values + i * padded_head(a), 1, a.head_size,
                       at(call.grad_qkv, a.type, row + problem.value_column()));
  }
}

void backward_problem(const Problem& problem, const BackwardCall& call) {
  const TrainAttention& a = problem.a;
  const BackwardBuffers b(a);
  const int64_t numbers = padded_positions(a) * padded_head(a);
  problem.turn(0, a.positions, problem.key_column(), 1, b.keys);
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
  const int64_t item = (problem.sequence * a.kv_heads + problem.kv_head) * problem.pieces + problem.piece;
  std::copy_n(b.grad_keys, numbers, call.partial + item * 2 * numbers);
  std::copy_n(b.grad_values, numbers, call.partial + (item * 2 + 1) * numbers);
}

}  // namespace

void attention_forward(const base::ParallelFor& parallel_for, const TrainAttention& a) {
  run_problems(parallel_for, a, forward_problem);
}

void attention_backward(const base::ParallelFor& parallel_for, const TrainAttention& a, const void* grad_out,
                        void* grad_qkv) {
  const int64_t problems = a.batch * a.kv_heads, pieces = pieces_of(a);
  const int64_t numbers = padded_positions(a) * padded_head(a);
  std::vector<float> partial(pieces > 1 ? static_cast<size_t>(problems * pieces * 2 * numbers) : 0);
  const BackwardCall call{grad_out, grad_qkv, partial.data()};
  run_problems(parallel_for, a, [&](const Problem& problem) { backward_problem(problem, call); });
  if (pieces == 1) return;
  parallel_for(problems, 1, [&](int64_t begin, int64_t end) {
    for (int64_t problem = begin; problem < end; ++problem) {
      float* sums = partial.data() + problem * pieces * 2 * numbers;
      for (int64_t piece = 1; piece < pieces; ++piece) {
        for (int64_t i = 0; i < 2 * numbers; ++i) sums[i] += sums[piece * 2 * numbers + i];
      }
      store_key_gradients({a, problem / a.kv_heads, problem % a.kv_heads, 0, 1}, call, sums, sums + numbers);
    }
  });
}

}  // namespace dsmoe::kernels
