// What the two passes of train_attention.h share: how work is cut into problems, a thread's memory, operands.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <functional>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/train_attention.h"

namespace dsmoe::kernels {

// Queries and keys of a block. Larger blocks waste more above the diagonal, smaller ones make small products. Both are
// one number, so that a block of keys is met as a whole: it was packed as a whole.
inline constexpr int64_t kBlock = kMostTileRows;
// A problem is split into pieces where there are fewer of them than this, so that a few cores find work.
inline constexpr int64_t kItems = 8;

inline int64_t blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }
inline const std::byte* at(const void* data, Number type, int64_t element) {
  return static_cast<const std::byte*>(data) + element * number_bytes(type);
}
inline std::byte* at(void* data, Number type, int64_t element) {
  return static_cast<std::byte*>(data) + element * number_bytes(type);
}

/// Memory of one thread, kept between calls: the first piece asked for is the first piece of the call before, grown
/// where it was smaller.
class Scratch {
 public:
  float* floats(int64_t count) { return reinterpret_cast<float*>(bytes(count * 4, 0, kLine)); }
  /// Room for `count` elements of either type.
  void* numbers(int64_t count) { return floats(count); }
  /// The same where `like` lies in its page: what is read from there in step with writes here never seems, by the
  /// address's lower bits, to read what was just written.
  void* numbers_in_step(int64_t count, const void* like) {
    return bytes(count * 4, reinterpret_cast<uintptr_t>(like) % kPage, kPage);
  }

 private:
  static constexpr uintptr_t kLine = 64, kPage = 4096;

  std::byte* bytes(int64_t count, uintptr_t offset, uintptr_t alignment) {
    thread_local std::deque<std::vector<std::byte>> pieces;
    if (pieces.size() == next_) pieces.emplace_back();
    std::vector<std::byte>& piece = pieces[next_++];
    const size_t room = static_cast<size_t>(count) + 2 * alignment;
    if (piece.size() < room) piece.assign(room, std::byte{0});
    return piece.data() + (alignment - reinterpret_cast<uintptr_t>(piece.data()) % alignment) + offset;
  }
  size_t next_ = 0;
};

/// One key/value head of one sequence, or the part of it that one work item has.
struct Problem {
  AttentionSequence a;
  int64_t kv_head, item, piece, pieces;

  int64_t blocks() const { return blocks_of(a.positions, kBlock); }
  int64_t keys_in(int64_t block, int64_t end) const { return std::min(kBlock, end - block * kBlock); }
  /// Columns of qkv where the parts of this problem begin.
  int64_t query_column(int64_t head) const { return head * a.head_size; }
  int64_t key_column() const { return (a.heads + kv_head) * a.head_size; }
  int64_t value_column() const { return (a.heads + a.kv_heads + kv_head) * a.head_size; }
  int64_t row(int64_t position) const { return a.first_row + position; }
  const void* qkv_at(int64_t position, int64_t column) const {
    return at(a.qkv, a.type, row(position) * a.width() + column);
  }
  int64_t out_element(int64_t position, int64_t head) const {
    return row(position) * a.heads * a.head_size + head * a.head_size;
  }
  float query_scale() const { return static_cast<float>(1 / std::sqrt(static_cast<double>(a.head_size))); }
  Rotation rotation(int64_t position, int64_t rows, float scale, float direction) const {
    Rotation r;
    r.half = a.head_size / 2, r.rows = rows, r.scale = scale, r.direction = direction;
    r.cosines = a.cosines + position * r.half, r.sines = a.sines + position * r.half;
    return r;
  }
  /// Rows of qkv from `position` on, turned, side by side.
  void turn(int64_t position, int64_t rows, int64_t column, float scale, void* out) const {
    Rotation r = rotation(position, rows, scale, 1);
    r.x = qkv_at(position, column), r.x_stride = a.width();
    r.out = out, r.out_stride = a.head_size;
    kernels().train.rotate[static_cast<size_t>(a.type)](r);
  }
  /// Sums of gradients, turned back, to their place in grad_qkv.
  void turn_back(int64_t position, int64_t rows, int64_t column, float scale, const float* sums, void* grad_qkv) const {
    Rotation r = rotation(position, rows, scale, -1);
    r.x = sums, r.x_stride = padded_head();
    r.out = at(grad_qkv, a.type, row(position) * a.width() + column), r.out_stride = a.width();
    kernels().train.rotate_sums[static_cast<size_t>(a.type)](r);
  }
  /// Columns of a head as buffers of sums have them: whole panels.
  int64_t padded_head() const { return blocks_of(a.head_size, kPanel) * kPanel; }
};

/// Asks for some rows of a head ahead of their use: they lie so far apart that the machine does not guess them.
inline void prefetch_rows(Number type, const void* first, int64_t stride, int64_t rows, int64_t size) {
  for (int64_t i = 0; i < rows; ++i) {
    const std::byte* row = at(first, type, i * stride);
    for (int64_t line = 0; line < size * number_bytes(type); line += 64) __builtin_prefetch(row + line, 0, 2);
  }
}

/// Of queries in qkv, rows `first` on, as far as there are such.
inline void prefetch_queries(const Problem& p, int64_t head, int64_t first) {
  const int64_t rows = std::clamp<int64_t>(p.a.positions - first, 0, kBlock);
  prefetch_rows(p.a.type, p.qkv_at(first, p.query_column(head)), p.a.width(), rows, p.a.head_size);
}

/// All keys turned, asking for values on the way.
inline void turn_keys(const Problem& p, void* out) {
  constexpr int64_t kAhead = 16;
  const AttentionSequence& a = p.a;
  for (int64_t i = 0; i < a.positions; i += kAhead) {
    const int64_t rows = std::min(kAhead, a.positions - i),
                  next = std::clamp<int64_t>(a.positions - i - kAhead, 0, kAhead);
    prefetch_rows(a.type, p.qkv_at(i + rows, p.key_column()), a.width(), next, a.head_size);
    prefetch_rows(a.type, p.qkv_at(i, p.value_column()), a.width(), rows, a.head_size);
    p.turn(i, rows, p.key_column(), 1, at(out, a.type, i * a.head_size));
  }
}

/// Positions and columns of a head as buffers have them: whole blocks and whole panels.
inline int64_t padded_positions(const AttentionSequence& a) { return blocks_of(a.positions, kBlock) * kBlock; }
inline int64_t padded_head(const TrainAttention& a) { return blocks_of(a.head_size, kPanel) * kPanel; }
/// Numbers of one panel, and cells of a sum, over k numbers.
inline int64_t panel_numbers(int64_t k) { return packed_numbers(k, kPanel); }
inline int64_t cells_of(Number type, int64_t k) { return type == Number::kF32 ? k : (k + 1) / 2; }
inline int64_t numbers_per_cell(Number type) { return type == Number::kF32 ? 1 : 2; }
/// Numbers of all blocks of keys packed with k running over a block's keys.
inline int64_t packed_by_block(const AttentionSequence& a) {
  return blocks_of(a.positions, kBlock) * packed_numbers(kBlock, padded_head(a));
}

/// Rows of `source` as right operands, one a block of keys: k the keys, n the head.
inline void pack_by_block(const Problem& p, const void* source, int64_t stride, void* packed) {
  const Number type = p.a.type;
  for (int64_t block = 0; block < p.blocks(); ++block) {
    const RowsView rows{at(source, type, block * kBlock * stride), stride, nullptr};
    pack_right(type, rows, Along::kDepth, p.keys_in(block, p.a.positions), p.a.head_size, type,
               at(packed, type, block * packed_numbers(kBlock, padded_head(p.a))));
  }
}

/// Left rows that hold what is summed over side by side.
inline TileProduct rows_product(Number type, const void* left, int64_t stride, int64_t rows, int64_t k) {
  TileProduct product;
  product.left = left, product.row_step = stride, product.cell_step = numbers_per_cell(type);
  product.rows = rows, product.cells = cells_of(type, k);
  return product;
}

/// Multiplies by n columns that were packed over k.
inline void multiply(Number type, TileProduct product, const void* right, int64_t k, int64_t n, float* out,
                     int64_t stride) {
  product.right = right, product.panels = blocks_of(n, kPanel), product.panel_stride = panel_numbers(k);
  product.out = out, product.out_stride = stride;
  kernels().train.tile_product[static_cast<size_t>(type)](product);
}

/// How many items a problem is cut into, by blocks of queries.
inline int64_t pieces_of(const TrainAttention& a) {
  const int64_t problems = std::max<int64_t>(1, a.sequences() * a.kv_heads);
  return std::clamp<int64_t>(kItems / problems, 1, std::max<int64_t>(1, blocks_of(a.longest(), kBlock)));
}

/// Item i is piece i % pieces of problem i / pieces; problems count the key/value heads of the first sequence, then of
/// the next. A short sequence's last pieces may have no block.
inline Problem problem_of(const TrainAttention& a, int64_t item, int64_t pieces) {
  const int64_t problem = item / pieces;
  return {AttentionSequence(a, problem / a.kv_heads), problem % a.kv_heads, item, item % pieces, pieces};
}

inline void run_problems(const base::ParallelFor& parallel_for, const TrainAttention& a,
                         const std::function<void(const Problem&)>& run) {
  DSMOE_CHECK(a.head_size % 2 == 0 && a.heads % a.kv_heads == 0, "whole pairs and groups of heads");
  const int64_t pieces = pieces_of(a);
  parallel_for(a.sequences() * a.kv_heads * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) run(problem_of(a, item, pieces));
  });
}

}  // namespace dsmoe::kernels
