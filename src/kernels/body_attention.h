// Causal attention over cache blocks, over the Vec of the including unit. Reference and contract: attend.h.
//
// Each query walks the blocks of a span in ascending order with a running maximum, a running sum and a running output
// (online softmax). A score is one dot product with 16 partial sums over ascending dimensions, folded once; values are
// added in ascending position. So a query's bits depend on its own row and the cache alone, not on which queries share
// its call. Stored numbers widen to float32 exactly, so it does not matter either whether a tile of queries reads them
// from the cache or from a copy widened once for all of them.
#pragma once

#include "kernels/body_elementwise.h"
#include "kernels/body_matmul.h"
#include "kernels/body_prefetch.h"

namespace dsmoe::kernels {
namespace {

// Register blocking: keys by queries for scores, queries by vectors of the head for values; and the same for one query.
constexpr bool kWide = kRegisterBits == 512;
constexpr int kScoreKeys = 4, kScoreRows = kWide ? 4 : 1;
constexpr int kValueRows = kWide ? 4 : 2, kValueVecs = kWide ? 4 : 2;
constexpr int kOneRowKeys = kWide ? 8 : 4, kOneRowVecs = kWide ? 8 : 4;

template <class T>
struct Padded {
  T values[kLanes];
  Padded(const T* p, int64_t n) {
    for (int64_t i = 0; i < kLanes; ++i) values[i] = i < n ? p[i] : T{};
  }
};

/// A plane of the cache, sixteen values of one position at a time; from(j) begins at position j. Scales are widened
/// into `work` when it is opened. The size of a head may be a Constant: addresses, of scales above all, took
/// more instructions than the arithmetic.
template <CacheType, class Size = int64_t>
struct Plane;

template <class Size>
struct Plane<CacheType::kF32, Size> {
  static constexpr int64_t kBytes = 4;  // of a number
  const float* values;
  Size head_dim;
  Plane(const void* plane, Size n, float* = nullptr) : values(static_cast<const float*>(plane)), head_dim(n) {}
  Plane from(int64_t j) const { return {values + j * head_dim, head_dim}; }
  Vec at(int64_t j, int64_t d) const { return Vec::load(values + j * head_dim + d); }
  Vec at(int64_t j, int64_t d, int64_t lanes) const { return Vec::load(values + j * head_dim + d, lanes); }
  static void store(const float* row, int64_t n, void* plane, int64_t j) {
    float* to = static_cast<float*>(plane) + j * n;
    for (int64_t d = 0; d < n; ++d) to[d] = row[d];
  }
};

template <class Size>
struct Plane<CacheType::kF16, Size> {
  static constexpr int64_t kBytes = 2;  // of a number
  const uint16_t* values;
  Size head_dim;
  Plane(const void* plane, Size n, float* = nullptr) : values(static_cast<const uint16_t*>(plane)), head_dim(n) {}
  Plane from(int64_t j) const { return {values + j * head_dim, head_dim}; }
  Vec at(int64_t j, int64_t d) const { return load_f16(values + j * head_dim + d); }
  Vec at(int64_t j, int64_t d, int64_t lanes) const {
    return load_f16(Padded<uint16_t>(values + j * head_dim + d, lanes).values);
  }
  static void store(const float* row, int64_t n, void* plane, int64_t j) {
    uint16_t* to = static_cast<uint16_t*>(plane) + j * n;
    each_vec(n, [&](int64_t i, int64_t lanes) {
      uint16_t bits[kLanes];
      store_f16(Vec::load(row + i, lanes), bits);
      for (int64_t lane = 0; lane < lanes; ++lane) to[i + lane] = bits[lane];
    });
  }
};

template <class Size>
struct Plane<CacheType::kQ8, Size> {
  static constexpr int64_t kBytes = 1;  // of a number
  const int8_t* values;
  const float* scales;
  Size head_dim;
  Plane(const void* plane, Size n, float* work) : values(static_cast<const int8_t*>(plane)), scales(work), head_dim(n) {
    const auto* stored = reinterpret_cast<const uint16_t*>(values + kCacheBlock * n);
    for (int64_t i = 0; i < kCacheBlock * cache_groups(n); i += kLanes) load_f16(stored + i).store(work + i);
  }
  Plane from(int64_t j) const {
    Plane later = *this;
    later.values += j * head_dim;
    later.scales += j * cache_groups(head_dim);
    return later;
  }
  Vec scale(int64_t j, int64_t d) const {
    const auto group = static_cast<uint64_t>(d) / kCacheGroup;
    return Vec::all(scales[j * cache_groups(head_dim) + static_cast<int64_t>(group)]);
  }
  // 8 bits times 11 bits: exact.
  Vec at(int64_t j, int64_t d) const { return load_i8(values + j * head_dim + d) * scale(j, d); }
  Vec at(int64_t j, int64_t d, int64_t lanes) const {
    return load_i8(Padded<int8_t>(values + j * head_dim + d, lanes).values) * scale(j, d);
  }
  static void store(const float* row, int64_t n, void* plane, int64_t j) {
    int8_t* to = static_cast<int8_t*>(plane) + j * n;
    uint16_t* scales = reinterpret_cast<uint16_t*>(static_cast<int8_t*>(plane) + kCacheBlock * n) + j * cache_groups(n);
    for (int64_t begin = 0; begin < n; begin += kCacheGroup) {
      const int64_t count = n - begin < kCacheGroup ? n - begin : kCacheGroup;
      // A sum of x - x: zero, or NaN where a value is not finite, as which the whole group is read then.
      float top = 0, defect = 0;
      for (int64_t i = begin; i < begin + count; ++i) {
        const float size = row[i] < 0 ? -row[i] : row[i];
        top = size > top ? size : top;
        defect += size - size;
      }
      const float step = top / 127 < kLargestCacheScale ? top / 127 : kLargestCacheScale;
      const Vec inverse = Vec::all(step >= kSmallestCacheStep ? 1 / step : 0);
      uint16_t bits[kLanes];
      store_f16(Vec::all(defect == 0 ? step : __builtin_nanf("")), bits);
      scales[begin / kCacheGroup] = bits[0];
      for (int64_t i = begin; i < begin + count; i += kLanes) {
        const int64_t lanes = begin + count - i < kLanes ? begin + count - i : kLanes;
        float integers[kLanes];
        const Vec scaled = min(Vec::load(row + i, lanes) * inverse, Vec::all(127));  // of NaN and 127, the second
        round(max(scaled, Vec::all(-127))).store(integers);
        for (int64_t lane = 0; lane < lanes; ++lane) to[i + lane] = static_cast<int8_t>(integers[lane]);
      }
    }
  }
};

template <CacheType T>
void store_cached(const float* row, int64_t n, void* plane, int64_t j) {
  Plane<T>::store(row, n, plane, j);
}

/// Scores of Keys positions from j on for Rows queries: out[r][j ...].
template <int Keys, int Rows, class Stored, class AfterThem>
inline DSMOE_INLINE void score_tile(const Stored& keys, int64_t j, const float* const* queries, float* const* out,
                                    AfterThem& after) {
  const auto head_dim = keys.head_dim;
  const Stored here = keys.from(j);
  Vec sums[Keys][Rows];
  unrolled<Keys * Rows>([&](int i) DSMOE_INLINE { sums[i / Rows][i % Rows] = Vec::zero(); });
  const auto step = [&](auto key, auto query) DSMOE_INLINE {
    after.template fetch_bytes<Keys * kLanes * Stored::kBytes>();
    Vec k[Keys];
    unrolled<Keys>([&](int i) DSMOE_INLINE { k[i] = key(i); });
    unrolled<Rows>([&](int r) DSMOE_INLINE {
      const Vec q = query(queries[r]);
      unrolled<Keys>([&](int i) DSMOE_INLINE { sums[i][r] = fma(k[i], q, sums[i][r]); });
    });
  };
  int64_t d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    step([&](int64_t i) DSMOE_INLINE { return here.at(i, d); },
         [&](const float* q) DSMOE_INLINE { return Vec::load(q + d); });
  }
  if (d < head_dim) {
    step([&](int64_t i) DSMOE_INLINE { return here.at(i, d, head_dim - d); },
         [&](const float* q) DSMOE_INLINE { return Vec::load(q + d, head_dim - d); });
  }
  unrolled<Rows>([&](int r) DSMOE_INLINE {
    if constexpr (Keys % 4 == 0) {
      unrolled<Keys / 4>([&](int i) DSMOE_INLINE {
        sum_four(sums[4 * i][r], sums[4 * i + 1][r], sums[4 * i + 2][r], sums[4 * i + 3][r], out[r] + j + 4 * i);
      });
    } else {
      unrolled<Keys>([&](int i) DSMOE_INLINE { out[r][j + i] = sum(sums[i][r]); });
    }
  });
}

template <int Keys, int Rows, class Stored, class AfterThem>
inline void score_rows(const Stored& keys, int64_t count, const float* const* queries, float* const* out,
                       AfterThem& after) {
  int64_t j = 0;
  for (; j + Keys <= count; j += Keys) score_tile<Keys, Rows>(keys, j, queries, out, after);
  for (; j < count; ++j) score_tile<1, Rows>(keys, j, queries, out, after);
}

/// out[r] += sum over begin <= j < end of p[r][j] values[j] for Vecs vectors of the head, each of so many bytes, from d
/// on.
template <int Rows, int Vecs, int Bytes, class Value, class AfterThem>
inline DSMOE_INLINE void value_tile(int64_t begin, int64_t end, int64_t d, int64_t lanes, const float* const* p,
                                    float* const* out, Value value, AfterThem& after) {
  Vec sums[Rows][Vecs];
  unrolled<Rows * Vecs>([&](int i) DSMOE_INLINE {
    const float* from = out[i / Vecs] + d + i % Vecs * kLanes;
    sums[i / Vecs][i % Vecs] = lanes == kLanes ? Vec::load(from) : Vec::load(from, lanes);
  });
  for (int64_t j = begin; j < end; ++j) {
    after.template fetch_bytes<Vecs * Bytes>();
    Vec v[Vecs];
    unrolled<Vecs>([&](int i) DSMOE_INLINE { v[i] = value(j, d + i * kLanes); });
    unrolled<Rows>([&](int r) DSMOE_INLINE {
      const Vec weight = Vec::all(p[r][j]);
      unrolled<Vecs>([&](int i) DSMOE_INLINE { sums[r][i] = fma(weight, v[i], sums[r][i]); });
    });
  }
  unrolled<Rows * Vecs>([&](int i) DSMOE_INLINE {
    float* to = out[i / Vecs] + d + i % Vecs * kLanes;
    lanes == kLanes ? sums[i / Vecs][i % Vecs].store(to) : sums[i / Vecs][i % Vecs].store(to, lanes);
  });
}

template <int Rows, int Vecs, class Stored, class AfterThem>
inline void add_values(const Stored& values, int64_t begin, int64_t end, const float* const* p, float* const* out,
                       AfterThem& after) {
  const auto head_dim = values.head_dim;
  constexpr int kBytes = kLanes * Stored::kBytes;
  const auto whole = [&](int64_t j, int64_t at) DSMOE_INLINE { return values.at(j, at); };
  int64_t d = 0;
  for (; d + Vecs * kLanes <= head_dim; d += Vecs * kLanes) {
    value_tile<Rows, Vecs, kBytes>(begin, end, d, kLanes, p, out, whole, after);
  }
  for (; d + kLanes <= head_dim; d += kLanes) value_tile<Rows, 1, kBytes>(begin, end, d, kLanes, p, out, whole, after);
  if (d < head_dim) {
    const int64_t lanes = head_dim - d;
    const auto part = [&](int64_t j, int64_t at) DSMOE_INLINE { return values.at(j, at, lanes); };
    value_tile<Rows, 1, kBytes>(begin, end, d, lanes, p, out, part, after);
  }
}

inline void scale_row(float* row, int64_t n, float factor) {
  const Vec f = Vec::all(factor);
  each_vec(n, [&](int64_t i, int64_t lanes) { (Vec::load(row + i, lanes) * f).store(row + i, lanes); });
}

/// Scores of a block become weights relative to the largest so far; what is in `out` becomes relative to it too.
inline void weigh(float scale, int64_t count, int64_t head_dim, float* scores, AttentionState& state, float* out) {
  scale_row(scores, count, scale);
  const float block_top = largest_of(scores, count);
  const float top = state.top > block_top ? state.top : block_top;
  if (state.total > 0 && top != state.top) {
    float correction = state.top - top;
    exponential_row(&correction, 1, &correction);
    state.total *= correction;
    scale_row(out, head_dim, correction);
  }
  state.top = top;
  state.total += exponentials_below(scores, top, count, scores);
}

/// Positions of the block at `begin` that a row sees, in all kCacheBlock or fewer.
inline int64_t seen_of_block(const Attention& a, int64_t row, int64_t begin) {
  const int64_t seen = a.visible[row] - begin;
  return seen < 0 ? 0 : seen < kCacheBlock ? seen : kCacheBlock;
}

/// A block's keys and values, from position `begin` on, and what is read after each of them.
template <class Stored, class AfterThem>
struct Block {
  int64_t begin;
  Stored keys, values;
  AfterThem after_keys, after_values;
};

/// One block for the rows first ... first + Rows, all of which see some of it.
template <int Rows, int Keys, int Vecs, class Stored, class AfterThem>
inline void attend_block(const Attention& a, int64_t first, Block<Stored, AfterThem>& block, AttentionState* states) {
  float scores[Rows][kCacheBlock];
  float* rows[Rows];
  int64_t counts[Rows], most = 0, least = kCacheBlock;
  for (int r = 0; r < Rows; ++r) {
    rows[r] = scores[r];
    const int64_t seen = a.visible[first + r] - block.begin;
    counts[r] = seen < kCacheBlock ? seen : kCacheBlock;
    most = counts[r] > most ? counts[r] : most;
    least = counts[r] < least ? counts[r] : least;
  }
  // Scores past what a row sees are made and not looked at.
  score_rows<Keys, Rows>(block.keys, most, a.queries + first, rows, block.after_keys);
  for (int r = 0; r < Rows; ++r) weigh(a.scale, counts[r], a.head_dim, rows[r], states[first + r], a.out[first + r]);
  constexpr int kTogether = Rows < kValueRows ? Rows : kValueRows;
  for (int r = 0; r < Rows; r += kTogether) {
    add_values<kTogether, Vecs>(block.values, 0, least, rows + r, a.out + first + r, block.after_values);
  }
  for (int r = 0; r < Rows; ++r) {
    if (counts[r] > least) {
      add_values<1, kOneRowVecs>(block.values, least, counts[r], rows + r, a.out + first + r, block.after_values);
    }
  }
}

/// One block for all rows: some at a time where all of those see some of it.
template <class Stored, class AfterThem>
inline void attend_rows(const Attention& a, Block<Stored, AfterThem> block, AttentionState* states) {
  constexpr int kRows = kScoreRows > kValueRows ? kScoreRows : kValueRows;
  int64_t row = 0;
  while (row < a.rows) {
    bool all = row + kRows <= a.rows;
    for (int64_t r = row; all && r < row + kRows; ++r) all = a.visible[r] > block.begin;
    if (all && kRows > 1) {
      attend_block<kRows, kScoreKeys, kValueVecs>(a, row, block, states);
      row += kRows;
    } else {
      if (a.visible[row] > block.begin) attend_block<1, kOneRowKeys, kOneRowVecs>(a, row, block, states);
      ++row;
    }
  }
}

template <class Stored>
inline void widen(const Stored& from, int64_t count, float* to) {
  for (int64_t j = 0; j < count; ++j, to += from.head_dim) {
    each_vec(from.head_dim, [&](int64_t d, int64_t lanes) {
      (lanes == kLanes ? from.at(j, d) : from.at(j, d, lanes)).store(to + d, lanes);
    });
  }
}

/// The size of most models' heads.
constexpr Constant<128> kUsualSize;

/// Rows of a call from which a block is widened once for all of them.
constexpr int64_t kWidenRows = 4;

/// The arguments of one of the heads.
inline Attention head_of(const Attention& a, int64_t head) {
  Attention one = a;
  one.queries += head * a.rows;
  one.out += head * a.rows;
  one.head += head;
  one.heads = 1;
  return one;
}

/// One block for the rows of one head, of which it is read once; the keys at `next` will be wanted after its values.
template <CacheType T>
inline void attend_head(const Attention& a, int64_t b, int64_t longest, const char* next, AttentionState* states,
                        float* wide) {
  const int64_t plane = plane_bytes(T, a.head_dim), begin = b * kCacheBlock;
  float* wide_values = wide + kCacheBlock * a.head_dim;
  float *key_scales = wide_values + kCacheBlock * a.head_dim,
        *value_scales = key_scales + kCacheBlock * cache_groups(a.head_dim);
  const char *key_plane = a.keys(b, 0), *value_plane = a.values(b, 0);
  const auto stored_rows = [&](auto size) {
    using Stored = Plane<T, decltype(size)>;
    const Stored keys(key_plane, size, key_scales), values(value_plane, size, value_scales);
    if constexpr (T == CacheType::kQ8) {
      // Scales lie behind a plane and are read as it is opened.
      const int64_t scales = plane - kCacheBlock * size;
      for (int i = 1; next && i <= 2; ++i) Prefetch(next + i * plane - scales, scales).fetch(scales);
    }
    attend_rows(a, Block<Stored, Prefetch>{begin, keys, values, {value_plane, plane}, {next, plane}}, states);
  };
  using Wide = Plane<CacheType::kF32>;
  if (a.rows < kWidenRows) {
    a.head_dim == kUsualSize ? stored_rows(kUsualSize) : stored_rows(a.head_dim);
  } else if constexpr (T == CacheType::kF32) {
    attend_rows(a, Block<Wide, NoPrefetch>{begin, {key_plane, a.head_dim}, {value_plane, a.head_dim}, {}, {}}, states);
  } else {
    const int64_t count = longest - begin < kCacheBlock ? longest - begin : kCacheBlock;
    widen(Plane<T>(key_plane, a.head_dim, key_scales), count, wide);
    widen(Plane<T>(value_plane, a.head_dim, value_scales), count, wide_values);
    attend_rows(a, Block<Wide, NoPrefetch>{begin, {wide, a.head_dim}, {wide_values, a.head_dim}, {}, {}}, states);
  }
}

/// Whether a block's planes of a head are followed by those of the next block.
inline bool goes_on(const Attention& a, int64_t b) {
  return a.values(b, 0) + plane_bytes(a.type, a.head_dim) == a.keys(b + 1, 0);
}

/// In the order of memory: blocks that lie together outside, then heads, then blocks, then a head's queries. `wide` has
/// room for a block's keys and values and their scales as floats.
template <CacheType T>
void attention_span(const Attention& a, int64_t span, AttentionState* states, float* wide) {
  int64_t longest = 0;
  for (int64_t row = 0; row < a.rows; ++row) longest = a.visible[row] > longest ? a.visible[row] : longest;
  for (int64_t row = 0; row < a.all_rows(); ++row) {
    states[row] = {-3.4e38f, 0.0f};
    each_vec(a.head_dim, [&](int64_t i, int64_t lanes) { Vec::zero().store(a.out[row] + i, lanes); });
  }
  const int64_t blocks = (longest + kCacheBlock - 1) / kCacheBlock, first = span * kSpanBlocks;
  const int64_t end = first + kSpanBlocks < blocks ? first + kSpanBlocks : blocks;
  for (int64_t begin = first, stop; begin < end; begin = stop) {
    for (stop = begin + 1; stop < end && goes_on(a, stop - 1);) ++stop;
    for (int64_t head = 0; head < a.heads; ++head) {
      const Attention one = head_of(a, head);
      for (int64_t b = begin; b < stop; ++b) {
        const char* next = b + 1 < stop         ? a.keys(b + 1, head)
                           : head + 1 < a.heads ? a.keys(begin, head + 1)
                           : stop < blocks      ? a.keys(stop, 0)
                                                : nullptr;
        attend_head<T>(one, b, longest, next, states + head * a.rows, wide);
      }
    }
  }
}

/// out and its state take in a later part.
void attention_join(AttentionState* state, float* out, const AttentionState* part_state, const float* part, int64_t n) {
  if (part_state->total == 0) return;
  const float top = state->top > part_state->top ? state->top : part_state->top;
  float factors[2] = {state->top - top, part_state->top - top};
  exponential_row(factors, 2, factors);
  scale_row(out, n, factors[0]);
  add_scaled(factors[1], part, n, out);
  state->total = state->total * factors[0] + part_state->total * factors[1];
  state->top = top;
}

void attention_finish(const AttentionState* state, int64_t n, float* out) {
  const Vec total = Vec::all(state->total);
  each_vec(n, [&](int64_t i, int64_t lanes) { (Vec::load(out + i, lanes) / total).store(out + i, lanes); });
}

constexpr AttentionKernels kAttentionKernels = {
    {attention_span<CacheType::kF32>, attention_span<CacheType::kF16>, attention_span<CacheType::kQ8>},
    attention_join,
    attention_finish,
    {store_cached<CacheType::kF32>, store_cached<CacheType::kF16>, store_cached<CacheType::kQ8>}};

}  // namespace
}  // namespace dsmoe::kernels
