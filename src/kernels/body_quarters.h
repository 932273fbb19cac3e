// Quantised weights that meet one or two tokens, where reading them is what takes time. Contract and order of sums:
// body_blocks.h.
//
// A step takes of each row four parts of 32 values (or eight), and a quarter of a vector belongs to a part: a row's
// bytes are used nearly as they lie, and a token's activations are loaded once for all rows. Sums across a quarter,
// four rows at a time, take the place of the transposition that sixteen rows side by side need.
#pragma once

#include "kernels/body_ahead.h"
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

/// A token's activations for the parts of one set, a quarter each.
template <class Format, int Set>
struct PartActivations {
  static constexpr int kFirst = Format::part_of(Set, 0);
  Ints first, second;  ///< values 0-15 and 16-31
  Ints block;          ///< an ActivationBlock

  template <int Bytes, int At = 0>
  static DSMOE_INLINE Ints quarters(const void* of_part_0) {
    constexpr auto kAt = [](int quarter) { return (Format::part_of(Set, quarter) - kFirst) * Bytes; };
    return Ints::quarters<kFirst * Bytes + At, kAt(1), kAt(2), kAt(3)>(of_part_0);
  }
  DSMOE_INLINE PartActivations(const int8_t* values, const ActivationBlock* blocks)
      : block(quarters<sizeof(ActivationBlock)>(blocks)) {
    if constexpr (Format::kSets == 1) {
      sixteens(values, first, second);
    } else {
      first = quarters<kBlockValues>(values);
      second = quarters<kBlockValues, kBlockValues / 2>(values);
    }
  }
  DSMOE_INLINE Vec scale() const { return as_floats(spread<0>(block)); }
  DSMOE_INLINE Vec sum() const { return as_floats(spread<1>(block)); }
  DSMOE_INLINE Ints total() const { return spread<2>(block); }
  DSMOE_INLINE Ints half() const { return spread<3>(block); }
};

/// Of all sets.
template <class Format>
struct AllActivations {
  PartActivations<Format, 0> first;
  PartActivations<Format, Format::kSets - 1> last;

  DSMOE_INLINE AllActivations(const int8_t* values, const ActivationBlock* blocks)
      : first(values, blocks), last(values, blocks) {}
  template <int Set>
  DSMOE_INLINE const auto& of() const {
    if constexpr (Set == 0) return first;
    if constexpr (Set > 0) return last;
  }
};

/// Adds what all parts of eight rows contribute, in ascending order; terms of four rows, and of the other four.
template <class Format>
inline DSMOE_INLINE Eight add_parts(Eight sum, const Terms* a, const Terms* b) {
  counted<4 * Format::kSets>([&](auto index) DSMOE_INLINE {
    constexpr int part = decltype(index)::value;
    counted<4 * Format::kSets>([&](auto place) DSMOE_INLINE {
      constexpr int set = decltype(place)::value / 4, quarter = decltype(place)::value % 4;
      if constexpr (Format::part_of(set, quarter) == part) {
        sum = sum + EightQuarters(a[set].term, b[set].term).template get<quarter>();
        if constexpr (Format::kForm == Form::kMinimum) {
          sum = sum + EightQuarters(a[set].minimum, b[set].minimum).template get<quarter>();
        }
      }
    });
  });
  return sum;
}

/// Stored blocks and bytes of a row that a step takes: four parts, or the eight of one block.
template <class Format>
constexpr int64_t kStepBlocks = 4 * Format::kSets* kBlockValues / block_values(Format::kType);
template <class Format>
constexpr int kStepBytes = kStepBlocks<Format>* block_bytes(Format::kType);

/// What four rows' parts from p on contribute for each token: terms[t][set].
template <class Format, int Tokens>
inline DSMOE_INLINE void multiply_four_rows(const uint8_t* p, int64_t stride, const AllActivations<Format>* const* x,
                                            Terms (*terms)[Format::kSets], Ahead& ahead) {
  constexpr int kSets = Format::kSets, kPieces = Format::kForm == Form::kHalves ? 2 : 1, kStep = kStepBytes<Format>;
  Ints dots[Tokens][kSets][kPieces][4];
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int r = decltype(index)::value;
    ahead.template ask_between<r * kStep, (r + 1) * kStep>();
    const PartsOfRow<kSets> row = Format::parts(p + r * stride);
    counted<Tokens * kSets>([&](auto index) DSMOE_INLINE {
      constexpr int t = decltype(index)::value / kSets, set = decltype(index)::value % kSets;
      const auto& a = x[t]->template of<set>();
      if constexpr (kPieces == 1) {
        dots[t][set][0][r] = dot<Format::kBits>(row.first[set], a.first, row.second[set], a.second);
      } else {
        dots[t][set][0][r] = dot<Format::kBits>(row.first[set], a.first);
        dots[t][set][1][r] = dot<Format::kBits>(row.second[set], a.second);
      }
    });
  });
  ahead.skip(4 * kStep);
  const PartScales<kSets> scales = Format::scales(p, stride);
  counted<Tokens * kSets>([&](auto index) DSMOE_INLINE {
    constexpr int t = decltype(index)::value / kSets, set = decltype(index)::value % kSets;
    const auto whole = [&](int piece) DSMOE_INLINE {
      const Ints* rows = dots[t][set][piece];
      return sum_quarters(rows[0], rows[1], rows[2], rows[3]);
    };
    terms[t][set] = block_terms<Format>(whole(0), whole(kPieces - 1), scales, set, x[t]->template of<set>());
  });
}

/// All whole steps of as many rows as are a multiple of eight; returns the row behind them. Eight rows of 2048 columns
/// are as many as the nearest cache holds beside the next eight, which are asked for meanwhile.
template <class Format, int Tokens>
int64_t quarter_matmul(const Product& p) {
  constexpr int kRows = 8, kParts = 4 * Format::kSets;
  const int64_t stored = p.weights.cols / block_values(Format::kType), steps = stored / kStepBlocks<Format>;
  const int64_t stride = stored * block_bytes(Format::kType), parts = p.weights.cols / kBlockValues;
  const int8_t* values[Tokens];
  const ActivationBlock* blocks[Tokens];
  for (int t = 0; t < Tokens; ++t) {
    const int64_t row = p.x_rows ? p.x_rows[t] : t;
    values[t] = p.activations.values + row * p.weights.cols;
    blocks[t] = p.activations.blocks + row * parts;
  }
  int64_t n = p.row_begin;
  for (; n + kRows <= p.row_end; n += kRows) {
    Ahead ahead = rows_ahead(p, n, kRows, stride);
    const uint8_t* at = static_cast<const uint8_t*>(p.weights.data) + n * stride;
    Eight sums[Tokens];
    for (int64_t step = 0; step < steps; ++step, at += kStepBytes<Format>) {
      const auto activations = [&](int t) DSMOE_INLINE {
        return AllActivations<Format>(values[t] + step * kParts * kBlockValues, blocks[t] + step * kParts);
      };
      const AllActivations<Format> first = activations(0), last = activations(Tokens - 1);
      const AllActivations<Format>* const x[] = {&first, &last};
      Terms terms[2][Tokens][Format::kSets];
      unrolled<2>([&](int four) DSMOE_INLINE {
        multiply_four_rows<Format, Tokens>(at + 4 * four * stride, stride, x, terms[four], ahead);
      });
      unrolled<Tokens>([&](int t) DSMOE_INLINE { sums[t] = add_parts<Format>(sums[t], terms[0][t], terms[1][t]); });
    }
    unrolled<Tokens>([&](int t) DSMOE_INLINE { sums[t].store(p.out_of(t) + n); });
  }
  return n;
}

}  // namespace
}  // namespace dsmoe::kernels
