// Quantised weights that meet one or two tokens, where reading them is what takes time. Contract and order of sums:
// body_blocks.h.
//
// A step takes of each row four parts of 32 values (or eight), and a 128-bit lane of a vector belongs to a part: a
// row's bytes are used nearly as they lie, and a token's activations are loaded once for all rows. Sums across a
// 128-bit lane, four rows at a time, take the place of the transposition that sixteen rows side by side need. Then a
// part's integers meet its scale. K formats, whose scales are packed bits, first join those of eight rows, a half of a
// vector for each of two parts: their scales are taken apart for eight rows at once.
#pragma once

#include "kernels/body_prefetch.h"
#include "kernels/body_unpack.h"

namespace dsmoe::kernels {
namespace {

/// What a block adds to a sum: first the term, then the minimum.
struct Terms {
  Vec term, minimum;
};

/// From the integers of `part` (kHalves: of its sixteens; else `second` is not read), its scales and its activations.
template <class Format, class Weights, class Activations>
inline DSMOE_INLINE Terms block_terms(Ints first, Ints second, const Weights& weights, int part, const Activations& x) {
  const Vec scale = weights.scale_of(part) * x.scale();
  if constexpr (Format::kForm == Form::kMinimum) {
    return {to_floats(first) * scale, weights.more_of(0, part) * x.sum()};
  } else if constexpr (Format::kForm == Form::kOffset) {
    return {to_floats(first - left<Format::kOffset>(x.total())) * scale, scale};
  } else {
    // Exact: whole numbers below 2^24, for 128 * 16 * 32 * 127 and twice that are.
    const Ints less = left<Format::kOffset>(x.half()), rest = left<Format::kOffset>(x.total()) - less;
    const Vec whole =
        to_floats(first - less) * weights.more_of(0, part) + to_floats(second - rest) * weights.more_of(1, part);
    return {whole * scale, scale};
  }
}

/// What vectors see of activations' blocks, over field<I>(): the I-th four bytes of an ActivationBlock, in the lanes of
/// its part.
template <class Fields>
struct SeenBlocks : Fields {
  DSMOE_INLINE Vec scale() const { return as_floats(this->template field<0>()); }
  DSMOE_INLINE Vec sum() const { return as_floats(this->template field<1>()); }
  DSMOE_INLINE Ints total() const { return this->template field<2>(); }
  DSMOE_INLINE Ints half() const { return this->template field<3>(); }
};
struct Lane128Fields {
  Ints block;  ///< of four parts, a 128-bit lane each
  template <int Field>
  DSMOE_INLINE Ints field() const {
    return lanes<Field, Field, Field, Field>(block);
  }
};
/// Parts A and B of a step.
template <int A, int B>
struct PairFields {
  const ActivationBlock* blocks;  ///< of the step
  template <int Field>
  DSMOE_INLINE Ints field() const {
    constexpr int kFields = sizeof(ActivationBlock) / 4;
    return Ints::halves<A * kFields + Field, B * kFields + Field>(blocks);
  }
};

/// A token's activations for the parts of one set, a 128-bit lane each.
template <class Format, int Set>
struct PartActivations {
  static constexpr int kFirst = Format::part_of(Set, 0);
  Ints first, second;  ///< values 0-15 and 16-31
  SeenBlocks<Lane128Fields> blocks;

  template <int Bytes, int At = 0>
  static DSMOE_INLINE Ints lanes128(const void* of_part_0) {
    constexpr auto kAt = [](int lane128) { return (Format::part_of(Set, lane128) - kFirst) * Bytes; };
    return Ints::lanes128<kFirst * Bytes + At, kAt(1), kAt(2), kAt(3)>(of_part_0);
  }
  DSMOE_INLINE PartActivations(const int8_t* values, const ActivationBlock* of)
      : blocks{lanes128<sizeof(ActivationBlock)>(of)} {
    if constexpr (Format::part_of(Set, 3) == kFirst + 3) {
      sixteens(values + kFirst * kBlockValues, first, second);
    } else {
      first = lanes128<kBlockValues>(values);
      second = lanes128<kBlockValues, kBlockValues / 2>(values);
    }
  }
};

/// Of all sets.
template <class Format, int Sets>
struct AllActivations {
  PartActivations<Format, 0> first;
  PartActivations<Format, Sets - 1> last;

  DSMOE_INLINE AllActivations(const int8_t* values, const ActivationBlock* blocks)
      : first(values, blocks), last(values, blocks) {}
  template <int Set>
  DSMOE_INLINE const auto& of() const {
    if constexpr (Set == 0) return first;
    if constexpr (Set > 0) return last;
  }
};

/// A step takes one set of four parts or two, which in K formats are a block.
template <class Format>
constexpr int kLeastSets = kParts<Format> > 1 ? 2 : 1;
/// Stored blocks and bytes of a row that it takes.
template <class Format, int Sets>
constexpr int64_t kStepBlocks = 4 * Sets* kBlockValues / block_values(Format::kType);
template <class Format, int Sets>
constexpr int kStepBytes = kStepBlocks<Format, Sets>* block_bytes(Format::kType);

/// Integers that a part has.
template <class Format>
constexpr int kPieces = Format::kForm == Form::kHalves ? 2 : 1;

/// The integers of four rows' parts: lane r of 128-bit lane q is row r's.
template <class Format, int Sets, int Tokens>
struct FourRows {
  Ints whole[Tokens][Sets][kPieces<Format>];

  /// From p on. Memory is asked for before each row.
  template <class Fetch>
  DSMOE_INLINE void multiply(const uint8_t* p, int64_t stride, const AllActivations<Format, Sets>* const* x,
                             const Fetch& fetch) {
    Ints dots[Tokens][Sets][kPieces<Format>][4];
    counted<4>([&](auto index) DSMOE_INLINE {
      constexpr int r = decltype(index)::value;
      fetch(index);
      const PartsOfRow<Sets> row = Format::template parts<Sets>(p + r * stride);
      in_order();
      counted<Tokens * Sets>([&](auto index) DSMOE_INLINE {
        constexpr int t = decltype(index)::value / Sets, set = decltype(index)::value % Sets;
        const auto& a = x[t]->template of<set>();
        if constexpr (kPieces<Format> == 1) {
          dots[t][set][0][r] = dot<Format::kBits>(row.first[set], a.first, row.second[set], a.second);
        } else {
          dots[t][set][0][r] = dot<Format::kBits>(row.first[set], a.first);
          dots[t][set][1][r] = dot<Format::kBits>(row.second[set], a.second);
        }
      });
    });
    unrolled<Tokens * Sets * kPieces<Format>>([&](int i) DSMOE_INLINE {
      const int piece = i % kPieces<Format>, set = i / kPieces<Format> % Sets, t = i / kPieces<Format> / Sets;
      const Ints* rows = dots[t][set][piece];
      whole[t][set][piece] = sum_lanes128(rows[0], rows[1], rows[2], rows[3]);
    });
  }
};

/// What a step adds for a token where scales are those of four rows: of the first four rows, and of the others (or of
/// the same, where there are no others).
template <class Format, int Sets>
struct Lane128Terms {
  Terms a[Sets], b[Sets];

  template <int Set, int Lane128>
  DSMOE_INLINE Eight term() const {
    return EightLanes128(a[Set].term, b[Set].term).template get<Lane128>();
  }
  template <int Set, int Lane128>
  DSMOE_INLINE Eight minimum() const {
    return EightLanes128(a[Set].minimum, b[Set].minimum).template get<Lane128>();
  }
};
/// And where they are those of eight rows.
struct PairTerms {
  Terms pairs[4];

  template <int Set, int Lane128>
  DSMOE_INLINE Eight term() const {
    return eight<Lane128 / 2>(pairs[2 * Set + Lane128 % 2].term);
  }
  template <int Set, int Lane128>
  DSMOE_INLINE Eight minimum() const {
    return eight<Lane128 / 2>(pairs[2 * Set + Lane128 % 2].minimum);
  }
};

/// Adds them in ascending order of parts.
template <class Format, int Sets, class StepTerms>
inline DSMOE_INLINE Eight add_parts(Eight sum, const StepTerms& terms) {
  counted<4 * Sets>([&](auto index) DSMOE_INLINE {
    constexpr int part = decltype(index)::value;
    counted<4 * Sets>([&](auto place) DSMOE_INLINE {
      constexpr int set = decltype(place)::value / 4, lane128 = decltype(place)::value % 4;
      if constexpr (Format::part_of(set, lane128) == part) {
        sum = sum + terms.template term<set, lane128>();
        if constexpr (Format::kForm == Form::kMinimum) sum = sum + terms.template minimum<set, lane128>();
      }
    });
  });
  return sum;
}

/// Rows on their way side by side: what comes next of them and of the tokens, and their sums.
template <class Format, int Fours, int Tokens>
struct RowsAbreast {
  const uint8_t* at;
  int64_t stride;
  const int8_t* values[Tokens];
  const ActivationBlock* blocks[Tokens];
  Eight sums[Tokens];

  template <int Sets, class Fetch>
  DSMOE_INLINE void step(const Fetch& fetch) {
    const auto activations = [&](int t) DSMOE_INLINE { return AllActivations<Format, Sets>(values[t], blocks[t]); };
    const AllActivations<Format, Sets> first = activations(0), last = activations(Tokens - 1);
    const AllActivations<Format, Sets>* const x[] = {&first, &last};
    FourRows<Format, Sets, Tokens> fours[Fours];
    unrolled<Fours>([&](int four) DSMOE_INLINE { fours[four].multiply(at + 4 * four * stride, stride, x, fetch); });
    add(fours[0], fours[Fours - 1], x);
    unrolled<Tokens>([&](int t) DSMOE_INLINE {
      values[t] += 4 * Sets * kBlockValues;
      blocks[t] += 4 * Sets;
    });
    at += kStepBytes<Format, Sets>;
  }

 private:
  /// What four rows and four more give, to the tokens' sums: by 128-bit lanes where a block is one part, else by pairs.
  template <int Sets>
  DSMOE_INLINE void add(const FourRows<Format, Sets, Tokens>& a, const FourRows<Format, Sets, Tokens>& b,
                        const AllActivations<Format, Sets>* const* x) {
    constexpr int kLast = kPieces<Format> - 1;
    if constexpr (kParts<Format> == 1) {
      const auto scales_a = Format::template scales<Sets>(at, stride);
      const auto scales_b = Fours == 1 ? scales_a : Format::template scales<Sets>(at + 4 * stride, stride);
      counted<Tokens>([&](auto index) DSMOE_INLINE {
        constexpr int t = decltype(index)::value;
        Lane128Terms<Format, Sets> terms;
        counted<Sets>([&](auto index) DSMOE_INLINE {
          constexpr int set = decltype(index)::value;
          const auto& of = x[t]->template of<set>().blocks;
          terms.a[set] = block_terms<Format>(a.whole[t][set][0], a.whole[t][set][kLast], scales_a, set, of);
          terms.b[set] = block_terms<Format>(b.whole[t][set][0], b.whole[t][set][kLast], scales_b, set, of);
        });
        sums[t] = add_parts<Format, Sets>(sums[t], terms);
      });
    } else {
      const auto scales = Format::template scales<Sets>(at, stride);
      counted<Tokens>([&](auto index) DSMOE_INLINE {
        constexpr int t = decltype(index)::value;
        PairTerms terms;
        counted<4>([&](auto index) DSMOE_INLINE {
          constexpr int pair = decltype(index)::value, set = pair / 2, odd = pair % 2;
          const SeenBlocks<PairFields<Format::part_of(set, odd), Format::part_of(set, 2 + odd)>> of{{blocks[t]}};
          const auto both = [&](int piece)
                                DSMOE_INLINE { return join<odd>(a.whole[t][set][piece], b.whole[t][set][piece]); };
          terms.pairs[pair] = block_terms<Format>(both(0), both(kLast), scales, pair, of);
        });
        sums[t] = add_parts<Format, Sets>(sums[t], terms);
      });
    }
  }
};

/// All whole sets of as many rows as are a multiple of eight (or four); returns the row behind them. Rows abreast are
/// asked for while those before them are multiplied. How many, and how much of each, has been measured: a step takes
/// about a kilobyte, and rows of 2048 columns leave the nearest cache room for the next ones.
template <class Format, int Tokens>
int64_t gemv(const Product& p) {
  constexpr int kLeast = kLeastSets<Format>, kSets = kLeast > 1 ? 2 : gemv_sets(Tokens, Format::kBits);
  constexpr int kFours = kSets > 1 && Format::kBits == 8 ? 1 : 2, kRows = 4 * kFours;
  const int64_t stored = p.weights.cols / block_values(Format::kType), steps = stored / kStepBlocks<Format, kSets>;
  const bool one_more = stored % kStepBlocks<Format, kSets> >= kStepBlocks<Format, kLeast>;
  const int64_t stride = stored * block_bytes(Format::kType), parts = p.weights.cols / kBlockValues;
  int64_t n = p.row_begin;
  for (; n + kRows <= p.row_end; n += kRows) {
    Prefetch prefetch = prefetch_rows(p, n, kRows, stride);
    RowsAbreast<Format, kFours, Tokens> rows;
    rows.at = static_cast<const uint8_t*>(p.weights.data) + n * stride;
    rows.stride = stride;
    for (int t = 0; t < Tokens; ++t) {
      const int64_t row = p.x_rows ? p.x_rows[t] : t;
      rows.values[t] = p.activations.values + row * p.weights.cols;
      rows.blocks[t] = p.activations.blocks + row * parts;
    }
    for (int64_t step = 0; step < steps; ++step) {
      rows.template step<kSets>([&](auto row) DSMOE_INLINE {
        constexpr int r = decltype(row)::value, kStep = kStepBytes<Format, kSets>;
        prefetch.template fetch_between<r * kStep, (r + 1) * kStep>();
        // What the last, shorter step reads is asked for by those before it, a line at a time.
        if (r == 2 && one_more) prefetch.template fetch_between<4 * kStep, 4 * kStep + 64>();
        if constexpr (r == 3) prefetch.skip(4 * kStep + (one_more ? 64 : 0));
      });
    }
    if constexpr (kLeast < kSets) {
      if (one_more) rows.template step<kLeast>([](auto) {});
    }
    unrolled<Tokens>([&](int t) DSMOE_INLINE {
      float* out = p.out_of(t) + n;
      kFours == 1 ? rows.sums[t].store_four(out) : rows.sums[t].store(out);
    });
  }
  return n;
}

}  // namespace
}  // namespace dsmoe::kernels
