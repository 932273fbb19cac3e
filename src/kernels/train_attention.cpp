#include "kernels/train_attention.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
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

/// Memory of one thread, kept between calls and cut into pieces anew by each.
class Scratch {
 public:
  /// `floats` in all that numbers() and floats() may take.
  explicit Scratch(int64_t floats) {
    thread_local std::vector<float> memory;
    if (static_cast<int64_t>(memory.size()) < floats + kLine) memory.resize(static_cast<size_t>(floats + kLine));
    const auto address = reinterpret_cast<uintptr_t>(memory.data());
    next_ = memory.data() + (64 - address % 64) % 64 / sizeof(float);
    end_ = next_ + floats;
  }
  float* floats(int64_t count) {
    float* taken = next_;
    next_ += blocks_of(count, kLine) * kLine;
    DSMOE_CHECK(next_ <= end_, "scratch memory is as large as planned");
    return taken;
  }
  /// Room for `count` elements of either type.
  void* numbers(int64_t count) { return floats(count); }

 private:
  float *next_, *end_;
};

/// One key/value head of one sequence, or the part of it that one work item has.
struct Problem {
  const TrainAttention& a;
  int64_t sequence, kv_head, piece, pieces;

  int64_t query_blocks() const { return blocks_of(a.positions, kBlock); }
  int64_t key_blocks() const { return blocks_of(a.positions, kBlock); }
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

/// Elements of all blocks of keys packed with k running over a block's keys.
int64_t packed_by_block(const TrainAttention& a) {
  return blocks_of(a.positions, kBlock) * packed_numbers(kBlock, a.head_size);
}
int64_t packed_across(const TrainAttention& a) {
  return packed_numbers(a.head_size, blocks_of(a.positions, kBlock) * kBlock);
}

/// Rows of `source` as right operands, one a block of keys: k the keys, n the head.
void pack_by_block(const Problem& p, const void* source, int64_t stride, void* packed) {
  const Number type = p.a.type;
  for (int64_t block = 0; block < p.key_blocks(); ++block) {
    const RowsView rows{at(source, type, block * kBlock * stride), stride, nullptr};
    pack_right(type, rows, Along::kDepth, p.keys_in(block, p.a.positions), p.a.head_size, type,
               at(packed, type, block * packed_numbers(kBlock, p.a.head_size)));
  }
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
      : scratch(a.positions * a.head_size + packed_across(a) + packed_by_block(a) +
                kBlock * (2 * a.head_size + 2 * kBlock + 2) + 16 * kLine),
        turned(scratch.numbers(a.positions * a.head_size)),
        keys(scratch.numbers(packed_across(a))),
        values(scratch.numbers(packed_by_block(a))),
        queries(scratch.numbers(kBlock * a.head_size)),
        p(scratch.numbers(kBlock * kBlock)),
        scores(scratch.floats(kBlock * kBlock)),
        out(scratch.floats(kBlock * a.head_size)),
        top(scratch.floats(kBlock)),
        total(scratch.floats(kBlock)) {}
  Scratch scratch;
  void *turned, *keys, *values, *queries, *p;
  float *scores, *out, *top, *total;
};

/// One block of queries against one block of keys: a score product, the softmax over it, a value product.
void forward_block(const Problem& problem, int64_t first, int64_t rows, int64_t block, const ForwardBuffers& b) {
  const TrainAttention& a = problem.a;
  const TrainTable& table = kernels().train;
  const auto type = static_cast<size_t>(a.type);
  const int64_t keys = problem.keys_in(block, first + rows);
  PanelProduct product;
  product.m = rows, product.n = keys, product.k = a.head_size;
  product.left = {b.queries, a.head_size, nullptr};
  product.right = at(b.keys, a.type, packed_numbers(a.head_size, kBlock) * block);
  product.out = b.scores, product.out_stride = kBlock;
  panel_product(a.type, product);

  SoftmaxTile tile;
  tile.scores = b.scores, tile.rows = rows, tile.keys = keys, tile.stride = kBlock;
  tile.lead = first - block * kBlock;
  tile.top = b.top, tile.total = b.total, tile.out = b.out, tile.width = a.head_size, tile.p = b.p;
  table.softmax_tile[type](tile);

  product.n = a.head_size, product.k = keys;
  product.left = {b.p, kBlock, nullptr};
  product.right = at(b.values, a.type, packed_numbers(kBlock, a.head_size) * block);
  product.epilogue = Epilogue::kAdd;
  product.out = b.out, product.out_stride = a.head_size;
  panel_product(a.type, product);
}

void forward_queries(const Problem& problem, int64_t head, int64_t first, const ForwardBuffers& b) {
  const TrainAttention& a = problem.a;
  const int64_t rows = std::min(kBlock, a.positions - first);
  problem.turn(first, rows, problem.query_column(head), problem.query_scale(), b.queries);
  std::fill_n(b.out, rows * a.head_size, 0.0f);
  std::fill_n(b.total, rows, 0.0f);
  std::fill_n(b.top, rows, std::numeric_limits<float>::lowest());
  for (int64_t block = 0; block * kBlock < first + rows; ++block) forward_block(problem, first, rows, block, b);
  const auto scaled = kernels().train.scaled[static_cast<size_t>(a.type)];
  for (int64_t i = 0; i < rows; ++i) {
    scaled(b.out + i * a.head_size, 1 / b.total[i], a.head_size,
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
    for (int64_t block = problem.piece; block < problem.query_blocks(); block += problem.pieces) {
      forward_queries(problem, problem.kv_head * a.group() + g, block * kBlock, b);
    }
  }
}

// ---- backward

struct BackwardBuffers {
  explicit BackwardBuffers(const TrainAttention& a)
      : scratch(4 * a.positions * a.head_size + packed_by_block(a) + 2 * kBlock * a.head_size +
                4 * packed_numbers(kBlock, blocks_of(a.head_size, kPanel) * kPanel) + 4 * kBlock * kBlock + 2 * kBlock +
                16 * kLine),
        keys(scratch.numbers(a.positions * a.head_size)),
        packed_keys(scratch.numbers(packed_by_block(a))),
        grad_keys(scratch.floats(a.positions * a.head_size)),
        grad_values(scratch.floats(a.positions * a.head_size)),
        queries(scratch.numbers(kBlock * a.head_size)),
        grad_queries(scratch.floats(kBlock * a.head_size)),
        delta(scratch.floats(kBlock)),
        scores(scratch.floats(kBlock * kBlock)),
        grad_p(scratch.floats(kBlock * kBlock)),
        p(scratch.numbers(kBlock * kBlock)),
        grad_scores(scratch.numbers(kBlock * kBlock)) {
    const int64_t across = packed_numbers(a.head_size, kBlock), along = packed_numbers(kBlock, a.head_size);
    queries_across = scratch.numbers(across);
    grad_out_across = scratch.numbers(across);
    queries_along = scratch.numbers(along);
    grad_out_along = scratch.numbers(along);
  }
  Scratch scratch;
  void *keys, *packed_keys;  ///< turned keys, as rows and as right operands by block
  float *grad_keys, *grad_values;
  void* queries;
  float *grad_queries, *delta, *scores, *grad_p;
  void *p, *grad_scores;
  // A block's queries and gradients of outputs as right operands: columns of scores, and rows that are summed over.
  void *queries_across, *grad_out_across, *queries_along, *grad_out_along;
};

/// A gradient of attention as a whole; partial sums of keys and values where problems are split.
struct BackwardCall {
  const void* grad_out;
  void* grad_qkv;
  float* partial;  ///< [items, 2, S, A]
};

/// Keys by queries, so that the rows of P and dS are left operands of dV and dK as they lie.
void backward_block(const Problem& problem, int64_t first, int64_t rows, int64_t block, int64_t head,
                    const BackwardBuffers& b) {
  const TrainAttention& a = problem.a;
  const int64_t size = a.head_size, from = block * kBlock, keys = problem.keys_in(block, first + rows);
  const auto multiply = [&](RowsView left, Along along, const void* right, int64_t m, int64_t n, int64_t k, float* out,
                            int64_t stride, Epilogue epilogue) {
    PanelProduct product;
    product.m = m, product.n = n, product.k = k;
    product.left = left, product.left_along = along, product.right = right;
    product.epilogue = epilogue, product.out = out, product.out_stride = stride;
    panel_product(a.type, product);
  };
  const RowsView key_rows{at(b.keys, a.type, from * size), size, nullptr};
  const RowsView value_rows{problem.qkv_at(from, problem.value_column()), a.width(), nullptr};
  multiply(key_rows, Along::kOutput, b.queries_across, keys, rows, size, b.scores, kBlock, Epilogue::kStore);
  multiply(value_rows, Along::kOutput, b.grad_out_across, keys, rows, size, b.grad_p, kBlock, Epilogue::kStore);

  SoftmaxGradTile tile;
  tile.scores = b.scores, tile.grad_p = b.grad_p;
  tile.keys = keys, tile.queries = rows, tile.stride = kBlock, tile.lead = first - from;
  tile.log_sum = a.log_sum + (problem.sequence * a.heads + head) * a.positions + first;
  tile.delta = b.delta, tile.p = b.p, tile.grad_scores = b.grad_scores;
  kernels().train.softmax_grad_tile[static_cast<size_t>(a.type)](tile);

  const RowsView p_rows{b.p, kBlock, nullptr}, grad_rows{b.grad_scores, kBlock, nullptr};
  multiply(p_rows, Along::kOutput, b.grad_out_along, keys, size, rows, b.grad_values + from * size, size,
           Epilogue::kAdd);
  multiply(grad_rows, Along::kOutput, b.queries_along, keys, size, rows, b.grad_keys + from * size, size,
           Epilogue::kAdd);
  multiply(grad_rows, Along::kDepth, at(b.packed_keys, a.type, packed_numbers(kBlock, size) * block), rows, size, keys,
           b.grad_queries, size, Epilogue::kAdd);
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
  std::fill_n(b.grad_queries, rows * size, 0.0f);
  for (int64_t block = 0; block * kBlock < first + rows; ++block) {
    backward_block(problem, first, rows, block, head, b);
  }
  for (int64_t i = 0; i < rows; ++i) {
    table.rotate_sums[type](problem.rotation(first + i, problem.query_scale(), -1), b.grad_queries + i * size,
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
    table.rotate_sums[type](problem.rotation(i, 1, -1), keys + i * a.head_size,
                            at(call.grad_qkv, a.type, row + problem.key_column()));
    table.scaled[type](values + i * a.head_size, 1, a.head_size,
                       at(call.grad_qkv, a.type, row + problem.value_column()));
  }
}

void backward_problem(const Problem& problem, const BackwardCall& call) {
  const TrainAttention& a = problem.a;
  const BackwardBuffers b(a);
  const int64_t numbers = a.positions * a.head_size;
  problem.turn(0, a.positions, problem.key_column(), 1, b.keys);
  pack_by_block(problem, b.keys, a.head_size, b.packed_keys);
  std::fill_n(b.grad_keys, numbers, 0.0f);
  std::fill_n(b.grad_values, numbers, 0.0f);
  for (int64_t g = 0; g < a.group(); ++g) {
    for (int64_t block = problem.piece; block < problem.query_blocks(); block += problem.pieces) {
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
  const int64_t problems = a.batch * a.kv_heads, pieces = pieces_of(a), numbers = a.positions * a.head_size;
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
