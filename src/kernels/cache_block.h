// Keys and values as a cache keeps them, and attention's arguments. Plain data, seen by the units built for an
// instruction set.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

/// How keys and values are stored. kQ8: int8 with a float16 scale for each 32 of a row, the numbers of Q8_0.
enum class CacheType : uint8_t { kF32, kF16, kQ8 };
inline constexpr int kCacheTypes = 3;

/// Positions in one block of the cache. Attention sums over blocks in ascending order, and blocks begin at multiples of
/// this, so what a position sees does not depend on how its past arrived.
inline constexpr int64_t kCacheBlock = 64;
/// Blocks of one span. A row's softmax runs over the blocks of a span and then over spans, both ascending, so that
/// threads may share a long past without showing in the bits.
inline constexpr int64_t kSpanBlocks = 8;
inline constexpr int64_t kSpan = kSpanBlocks * kCacheBlock;
/// Values of a row that share a scale in kQ8: their largest over 127, but no more than float16 has room for. Larger
/// values are read as 127 times that, those of a group that is not finite as NaN. Steps that have no finite inverse in
/// float32 are zero in float16.
inline constexpr int64_t kCacheGroup = 32;
inline constexpr float kLargestCacheScale = 65504, kSmallestCacheStep = 0x1p-126f;

constexpr int64_t cache_groups(int64_t head_dim) { return (head_dim + kCacheGroup - 1) / kCacheGroup; }

/// Bytes of a plane: the keys (or values) of one head in one block, [kCacheBlock, head_dim]; kQ8 has the scales
/// [kCacheBlock, groups] behind them. A multiple of 64.
constexpr int64_t plane_bytes(CacheType type, int64_t head_dim) {
  const int64_t value = type == CacheType::kF32 ? 4 : type == CacheType::kF16 ? 2 : 1;
  const int64_t scales = type == CacheType::kQ8 ? 2 * cache_groups(head_dim) : 0;
  return kCacheBlock * (value * head_dim + scales);
}

/// Where a block of a sequence's cache lies. Heads of all layers are counted through; the planes of one lie side by
/// side, keys first, so head h's keys are at first + h * head_bytes.
struct BlockPlace {
  char* first;
  int64_t head_bytes;
};

/// What a softmax in progress needs beside its sum of values: the maximum that it is relative to, and its denominator.
/// A total of 0 says that nothing has been seen.
struct AttentionState {
  float top, total;
};

/// Some queries against one sequence's cache of one key/value head (heads of its group, tokens, or both), and as many
/// for each of its neighbours. Neighbours lie side by side, so a call reads long stretches.
struct Attention {
  const float* const* queries = nullptr;  ///< [heads, rows] each of head_dim floats
  const int64_t* visible = nullptr;       ///< [rows] positions that each row of a head sees, at least 1
  float* const* out = nullptr;            ///< [heads, rows] each of head_dim floats
  int64_t rows = 0;                       ///< of one head; of all heads at most kAttentionRows
  int64_t head_dim = 0;
  float scale = 1;
  CacheType type = CacheType::kF32;
  const BlockPlace* blocks = nullptr;  ///< of positions b * kCacheBlock ...
  int64_t head = 0, heads = 1;         ///< the first key/value head, of those of all layers, and how many

  /// Always inline: units of several instruction sets include this.
  __attribute__((always_inline)) int64_t all_rows() const { return heads * rows; }
  /// The planes of a block and the i-th of these heads.
  __attribute__((always_inline)) const char* keys(int64_t block, int64_t i) const {
    return blocks[block].first + (head + i) * blocks[block].head_bytes;
  }
  __attribute__((always_inline)) const char* values(int64_t block, int64_t i) const {
    return keys(block, i) + plane_bytes(type, head_dim);
  }
};
inline constexpr int64_t kAttentionRows = 32;

}  // namespace dsmoe::kernels
