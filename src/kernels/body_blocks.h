// Products of quantised weights and int8 activations, over the Ints and Vec of the including unit; and those
// activations. Definitions and contracts: product.h, activations.h.
//
// Sixteen weight rows lie side by side in the lanes. For many tokens a slab, up to eight blocks of 32 columns of these
// rows, is unpacked into the nearest cache and multiplied by all tokens before the next one; for a few tokens what is
// unpacked is multiplied at once, and one or two tokens meet four rows instead (body_gemv.h).
// Every output is one float32 sum over ascending blocks: out += float(integers) * (scale * x's scale), and for formats
// with minima then out += minimum * x's sum; each operation rounds. Blocking decides only what runs side by side.
#pragma once

#include "kernels/body_gemv.h"

namespace dsmoe::kernels {
namespace {

/// Tokens of one tile: their activations from the slab's first column on, and where their outputs lie.
struct TokenTile {
  const int8_t* values[8];
  const ActivationBlock* blocks[8];
  float* out[8];
  int64_t rows[kSlabGroups];  ///< of each group, up to 16
};

/// Integers of one block: a sum over its 32 values, or sums over the first and second sixteen.
template <class Format, bool kSplit = Format::kForm == Form::kHalves>
struct BlockDots {
  Dots<Format::kBits> first;

  template <int Step>
  DSMOE_INLINE void add(Ints weights, Ints x) {
    first.template add<Step>(weights, x);
  }
  DSMOE_INLINE Ints rest() const { return first.sum(); }
};
template <class Format>
struct BlockDots<Format, true> {
  Dots<Format::kBits> first, second;

  template <int Step>
  DSMOE_INLINE void add(Ints weights, Ints x) {
    if constexpr (Step < 4) first.template add<Step>(weights, x);
    if constexpr (Step >= 4) second.template add<Step - 4>(weights, x);
  }
  DSMOE_INLINE Ints rest() const { return second.sum(); }
};

/// What all lanes see of a block's activations.
struct LaneActivations {
  const ActivationBlock* x;

  DSMOE_INLINE Vec scale() const { return Vec::all(x->scale); }
  DSMOE_INLINE Vec sum() const { return Vec::all(x->sum); }
  DSMOE_INLINE Ints total() const { return Ints::repeat(&x->total); }
  DSMOE_INLINE Ints half() const { return Ints::repeat(&x->half); }
};

/// sum + what one block contributes.
template <class Format, class Weights>
inline DSMOE_INLINE Vec add_block(Vec sum, const BlockDots<Format>& dots, const Weights& weights, int block,
                                  const ActivationBlock* x) {
  const Terms terms = block_terms<Format>(dots.first.sum(), dots.rest(), weights, block, LaneActivations{x});
  sum = sum + terms.term;
  return Format::kForm == Form::kMinimum ? sum + terms.minimum : sum;
}

template <class Format, int Tokens>
void multiply_tile(const Slab* slabs, int64_t blocks, bool begin, const TokenTile& tile, Prefetch& prefetch) {
  constexpr int kPairs = kSlabGroups * Tokens;  // pair i: group i % kSlabGroups, token i / kSlabGroups
  Vec sums[kPairs];
  unrolled<kPairs>([&](int i) DSMOE_INLINE {
    const int g = i % kSlabGroups;
    const float* out = tile.out[i / kSlabGroups] + g * kLanes;
    sums[i] = begin ? Vec::zero() : tile.rows[g] == kLanes ? Vec::load(out) : Vec::load(out, tile.rows[g]);
  });
  for (int64_t b = 0; b < blocks; ++b) {
    prefetch.step();
    BlockDots<Format> dots[kPairs];
    counted<8>([&](auto index) DSMOE_INLINE {
      constexpr int step = decltype(index)::value;
      Ints weights[kSlabGroups];
      unrolled<kSlabGroups>([&](int g) DSMOE_INLINE { weights[g] = Ints::load(slabs[g].values[b][step]); });
      unrolled<Tokens>([&](int t) DSMOE_INLINE {
        const Ints x = Ints::repeat(tile.values[t] + b * kBlockValues + 4 * step);
        unrolled<kSlabGroups>([&](int g) DSMOE_INLINE { dots[t * kSlabGroups + g].template add<step>(weights[g], x); });
      });
    });
    unrolled<kPairs>([&](int i) DSMOE_INLINE {
      sums[i] = add_block<Format>(sums[i], dots[i], slabs[i % kSlabGroups], static_cast<int>(b),
                                  tile.blocks[i / kSlabGroups] + b);
    });
  }
  unrolled<kPairs>([&](int i) DSMOE_INLINE {
    const int g = i % kSlabGroups;
    float* out = tile.out[i / kSlabGroups] + g * kLanes;
    tile.rows[g] == kLanes ? sums[i].store(out) : sums[i].store(out, tile.rows[g]);
  });
}

/// As few tiles as possible, of as even sizes as possible.
template <class Format, int Most>
void multiply_some(const Slab* slabs, int64_t blocks, bool begin, const TokenTile& tile, int64_t tokens,
                   Prefetch& prefetch) {
  if constexpr (Most > 0) {
    if (tokens == Most) return multiply_tile<Format, Most>(slabs, blocks, begin, tile, prefetch);
    multiply_some<Format, Most - 1>(slabs, blocks, begin, tile, tokens, prefetch);
  }
}

/// All tokens of the product against a slab whose columns begin at block `first` and whose rows begin at n.
template <class Format>
void multiply_slab(const Product& p, const Slab* slabs, int64_t n, int64_t first, int64_t blocks, Prefetch& prefetch) {
  constexpr int kMost = most_tokens(Format::kBits);
  const int64_t all = p.weights.cols / kBlockValues;
  TokenTile tile;
  for (int g = 0; g < kSlabGroups; ++g) {
    const int64_t rest = p.row_end - n - g * kLanes;
    tile.rows[g] = rest < 0 ? 0 : rest < kLanes ? rest : kLanes;
  }
  int64_t tiles = (p.tokens + kMost - 1) / kMost;
  // What is asked for meanwhile is as large as this slab was.
  const int64_t bytes =
      kSlabGroups * kLanes * blocks * block_bytes(Format::kType) / (block_values(Format::kType) / kBlockValues);
  prefetch.pace(bytes, tiles * blocks);
  for (int64_t token = 0; token < p.tokens; --tiles) {
    const int64_t count = (p.tokens - token + tiles - 1) / tiles;
    for (int64_t t = 0; t < count; ++t) {
      const int64_t row = p.x_rows ? p.x_rows[token + t] : token + t;
      tile.values[t] = p.activations.values + (row * all + first) * kBlockValues;
      tile.blocks[t] = p.activations.blocks + row * all + first;
      tile.out[t] = p.out_of(token + t) + n;
    }
    multiply_some<Format, kMost>(slabs, blocks, first == 0, tile, count, prefetch);
    token += count;
  }
}

/// Unpacks `rows` (1 to 16) rows of `count` stored blocks; rows that are missing count as zeros.
template <class Format>
void unpack_rows(const uint8_t* p, int64_t stride, int64_t rows, int64_t count, Slab& slab) {
  constexpr int64_t kBytes = block_bytes(Format::kType);
  alignas(64) uint8_t copy[kLanes * kBytes * (kSuperValues / block_values(Format::kType))];
  if (rows < kLanes) {
    __builtin_memset(copy, 0, sizeof(copy));
    for (int64_t r = 0; r < rows; ++r) __builtin_memcpy(copy + r * count * kBytes, p + r * stride, count * kBytes);
    p = copy;
    stride = count * kBytes;
  }
  for (int64_t b = 0; b < count; ++b) {
    Format::unpack(LaneRows{p + b * kBytes, stride}, static_cast<int>(b), slab);
  }
}

/// From stored block `from` of the rows on; what came before lies in `out`.
template <class Format>
void slab_matmul(const Product& p, int64_t from = 0) {
  constexpr int64_t kPart = kSuperValues / block_values(Format::kType);  // stored blocks of a slab
  constexpr int64_t kRows = kSlabGroups * kLanes, kBytes = block_bytes(Format::kType);
  const int64_t stored = p.weights.cols / block_values(Format::kType), stride = stored * kBytes;
  const auto* weights = static_cast<const uint8_t*>(p.weights.data);
  Slab slabs[kSlabGroups];
  if (p.row_end - p.row_begin < kRows) __builtin_memset(slabs, 0, sizeof(slabs));
  for (int64_t n = p.row_begin; n < p.row_end; n += kRows) {
    Prefetch prefetch = prefetch_rows(p, n, kRows, stride);
    for (int64_t at = from; at < stored; at += kPart) {
      const int64_t count = stored - at < kPart ? stored - at : kPart;
      const uint8_t* corner = weights + n * stride + at * kBytes;
      for (int64_t g = 0; g < kSlabGroups && n + g * kLanes < p.row_end; ++g) {
        const int64_t rest = p.row_end - n - g * kLanes;
        unpack_rows<Format>(corner + g * kLanes * stride, stride, rest < kLanes ? rest : kLanes, count, slabs[g]);
      }
      constexpr int64_t kScale = block_values(Format::kType) / kBlockValues;
      multiply_slab<Format>(p, slabs, n, at * kScale, count * kScale, prefetch);
    }
  }
}

/// A stored block of sixteen rows that meets a few tokens: multiplied as it is unpacked, and never stored. Formats put
/// the scales of a part before its values, and finish parts in ascending order.
template <class Format, int Tokens>
struct FewTokens {
  static constexpr int kBytes = kLanes * block_bytes(Format::kType);
  const int8_t* values[Tokens];           ///< of the first column
  const ActivationBlock* blocks[Tokens];  ///< and its first part
  Prefetch prefetch;
  Vec sums[Tokens];
  BlockDots<Format> dots[Tokens][kParts<Format>];
  Vec scale[kParts<Format>], more[2][kParts<Format>];

  explicit FewTokens(const Prefetch& a) : prefetch(a) {}  // zeros elsewhere would be stored, block for block
  template <int Four>
  DSMOE_INLINE void put(int part, Ints weights) {
    // As much is asked for as is read, as evenly as lines allow. Where blocks have many parts, AVX2 lacks the registers
    // for addresses that are known beforehand, and half of the speed is lost.
    if constexpr (kParts<Format> == 1) {
      prefetch.template fetch_between<kBytes * Four / 8, kBytes*(Four + 1) / 8>();
      if constexpr (Four == 7) prefetch.skip(kBytes);
    } else {
      constexpr int kPart = kBytes / kParts<Format>;
      prefetch.template fetch_lines<(kPart * (Four + 1) / 8 + 63) / 64 - (kPart * Four / 8 + 63) / 64>();
    }
    in_order();
    unrolled<Tokens>([&](int t) DSMOE_INLINE {
      dots[t][part].template add<Four>(weights, Ints::repeat(values[t] + part * kBlockValues + 4 * Four));
      if constexpr (Four == 7) sums[t] = add_block<Format>(sums[t], dots[t][part], *this, part, blocks[t] + part);
    });
  }
  DSMOE_INLINE void put_scale(int part, Vec x) { scale[part] = x; }
  DSMOE_INLINE void put_more(int half, int part, Vec x) { more[half][part] = x; }
  DSMOE_INLINE Vec scale_of(int part) const { return scale[part]; }
  DSMOE_INLINE Vec more_of(int half, int part) const { return more[half][part]; }
};

/// As many whole rows at a time as a vector holds. Returns the row behind them.
template <class Format, int Tokens>
int64_t few_matmul(const Product& p) {
  using Block = FewTokens<Format, Tokens>;
  constexpr int64_t kBytes = block_bytes(Format::kType);
  const int64_t stored = p.weights.cols / block_values(Format::kType), stride = stored * kBytes;
  const ActivationBlock* x[Tokens];
  const int8_t* values[Tokens];
  for (int t = 0; t < Tokens; ++t) {
    const int64_t first = (p.x_rows ? p.x_rows[t] : t) * (p.weights.cols / kBlockValues);
    x[t] = p.activations.blocks + first;
    values[t] = p.activations.values + first * kBlockValues;
  }
  int64_t n = p.row_begin;
  for (; n + kLanes <= p.row_end; n += kLanes) {
    Prefetch prefetch = prefetch_rows(p, n, kLanes, stride);
    const uint8_t* weights = static_cast<const uint8_t*>(p.weights.data) + n * stride;
    Vec sums[Tokens];
    unrolled<Tokens>([&](int t) DSMOE_INLINE { sums[t] = Vec::zero(); });
    for (int64_t b = 0; b < stored; ++b) {
      Block block(prefetch);
      unrolled<Tokens>([&](int t) DSMOE_INLINE {
        block.values[t] = values[t] + b * kParts<Format> * kBlockValues;
        block.blocks[t] = x[t] + b * kParts<Format>;
        block.sums[t] = sums[t];
      });
      Format::unpack(LaneRows{weights + b * kBytes, stride}, 0, block);
      unrolled<Tokens>([&](int t) DSMOE_INLINE { sums[t] = block.sums[t]; });
      prefetch = block.prefetch;
    }
    unrolled<Tokens>([&](int t) DSMOE_INLINE { sums[t].store(p.out_of(t) + n); });
  }
  return n;
}

template <class Format>
constexpr bool uses_gemv(int64_t tokens) {
  return tokens <= gemv_tokens(kParts<Format>, Format::kBits);
}

/// The product for `Most` tokens or fewer; returns the row that it begins at for what is left, or -1 for more tokens.
template <class Format, int Most>
int64_t multiply_few(const Product& p) {
  if constexpr (Most > 0) {
    if (p.tokens < Most) return multiply_few<Format, Most - 1>(p);
    if (p.tokens > Most) return -1;
    if constexpr (uses_gemv<Format>(Most)) return gemv<Format, Most>(p);
    if constexpr (!uses_gemv<Format>(Most)) return few_matmul<Format, Most>(p);
  }
  return -1;
}

/// Few tokens: whole steps of rows, then their last `left` stored blocks, then rows that are too few. Or all tokens.
template <class Format>
void rows_matmul(const Product& p, int64_t left) {
  const int64_t n = multiply_few<Format, few_tokens(kParts<Format>)>(p);
  if (n < 0) return slab_matmul<Format>(p);
  Product rest = p;
  rest.row_end = n;
  if (left > 0) slab_matmul<Format>(rest, p.weights.cols / block_values(Format::kType) - left);
  rest.row_begin = n;
  rest.row_end = p.row_end;
  slab_matmul<Format>(rest);
}

template <class Format>
void block_matmul(const Product& p) {
  const int64_t stored = p.weights.cols / block_values(Format::kType),
                left = stored % kStepBlocks<Format, kLeastSets<Format>>;
  if (!uses_gemv<Format>(p.tokens) || left == 0) return rows_matmul<Format>(p, 0);
  // Columns that are no whole step soon after the others of their rows, whose lines they share.
  constexpr int64_t kRows = 64;
  Product part = p;
  for (int64_t n = p.row_begin; n < p.row_end; n = part.row_end) {
    part.row_begin = n;
    part.row_end = n + kRows < p.row_end ? n + kRows : p.row_end;
    const bool last = part.row_end == p.row_end;
    part.next = last ? p.next
                     : static_cast<const uint8_t*>(p.weights.data) + part.row_end * stored * block_bytes(Format::kType);
    rows_matmul<Format>(part, left);
  }
}

void quantise_activations(const float* x, int64_t blocks, int8_t* values, ActivationBlock* out) {
  for (int64_t b = 0; b < blocks; ++b, x += kBlockValues, values += kBlockValues, ++out) {
    const Vec low = Vec::load(x), high = Vec::load(x + kLanes), zero = Vec::zero();
    // Sums of x * 0: zero, or NaN where a value is not finite.
    const float defect = sum(low * zero + high * zero);
    const float top = largest(max(max(low, zero - low), max(high, zero - high)));
    if (!(top >= 0x1p-100f && defect == 0)) {
      __builtin_memset(values, 0, kBlockValues);
      *out = {defect, defect, 0, 0};
      continue;
    }
    const Vec inverse = Vec::all(127.0f / top);
    const Ints first = to_ints(low * inverse), second = to_ints(high * inverse);
    store_bytes(first, values);
    store_bytes(second, values + kLanes);
    out->half = sum(first);
    out->total = out->half + sum(second);
    out->scale = top / 127.0f;
    out->sum = out->scale * static_cast<float>(out->total);
  }
}

/// In the order of WeightType.
constexpr Matmul kMatmuls[kWeightTypes] = {matmul<float>,      matmul<Half>,       matmul<uint16_t>,
                                           block_matmul<Q8_0>, block_matmul<Q4_0>, block_matmul<Q4_1>,
                                           block_matmul<Q5_0>, block_matmul<Q5_1>, block_matmul<Q4K>,
                                           block_matmul<Q5K>,  block_matmul<Q6K>};

}  // namespace
}  // namespace dsmoe::kernels
