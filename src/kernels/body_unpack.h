// Block formats taken apart, sixteen weight rows at a time, over the Ints of the including unit. The layouts are in
// blocks.h; how the parts are multiplied is in body_blocks.h.
//
// A format says how many bits an unsigned value has, its form, and how to unpack one stored block of sixteen rows: it
// puts every four values of each row, of a part in ascending order, and the part's scales. `To` is a Slab, or whatever
// multiplies at once (body_blocks.h).
// And, for body_gemv.h, how to take four parts of a row, or eight, apart into the 128-bit lanes of a vector.
#pragma once

#include "kernels/body_matmul.h"

namespace dsmoe::kernels {
namespace {

/// Sixteen rows of up to eight blocks of 32 weights.
struct Slab {
  /// [block][four][row]: four consecutive values of each row, unsigned.
  alignas(64) uint8_t values[kSuperParts][8][4 * kLanes];
  alignas(64) float scale[kSuperParts][kLanes];
  /// Form::kMinimum: what the sum of activations is multiplied by. kHalves: scales of the two sixteens, whole numbers.
  alignas(64) float more[2][kSuperParts][kLanes];

  template <int Four>
  void put(int block, Ints bytes) {
    bytes.store(values[block][Four]);
  }
  void put_scale(int block, Vec x) { x.store(scale[block]); }
  void put_more(int half, int block, Vec x) { x.store(more[half][block]); }
  Vec scale_of(int block) const { return Vec::load(scale[block]); }
  Vec more_of(int half, int block) const { return Vec::load(more[half][block]); }
};

/// Parts of 32 values in a stored block.
template <class Format>
constexpr int kParts = block_values(Format::kType) / kBlockValues;

/// What a weight is: scale * (value - 2^kOffset), scale * value + minimum, or scale * half's scale * (value -
/// 2^kOffset).
enum class Form { kOffset, kMinimum, kHalves };

/// step(Constant<0>), ..., step(Constant<N - 1>), for what needs its index as a constant.
template <int N, class Step>
inline DSMOE_INLINE void counted(const Step& step) {
  if constexpr (N > 0) {
    counted<N - 1>(step);
    step(Constant<N - 1>{});
  }
}

/// a * 2^N by shifting, either way.
template <int N>
inline DSMOE_INLINE Ints shifted(Ints a) {
  if constexpr (N >= 0) return left<N>(a);
  if constexpr (N < 0) return right<-N>(a);
}

inline Ints low_half(Ints bytes) { return bytes & Ints::all(0x0f0f0f0f); }
inline Ints high_half(Ints bytes) { return right<4>(bytes) & Ints::all(0x0f0f0f0f); }

/// Values 0-15 in the low halves of sixteen bytes a row, 16-31 in the high ones.
template <class To>
inline DSMOE_INLINE void put_halves(const LaneRows& rows, int block, To& to) {
  const Columns q = load_columns(rows);
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int j = decltype(index)::value;
    to.template put<j>(block, low_half(q.column[j]));
  });
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int j = decltype(index)::value;
    to.template put<j + 4>(block, high_half(q.column[j]));
  });
}
/// The same with bit i of `high` as the fifth of value i.
template <class To>
inline DSMOE_INLINE void put_halves(const LaneRows& rows, Ints high, int block, To& to) {
  const Columns q = load_columns(rows);
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int j = decltype(index)::value;
    to.template put<j>(block, low_half(q.column[j]) | spread_bits(right<4 * j>(high)));
  });
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int j = decltype(index)::value;
    to.template put<j + 4>(block, high_half(q.column[j]) | spread_bits(right<4 * j + 16>(high)));
  });
}
inline Vec high_halves_to_floats(Ints a) { return halves_to_floats(right<16>(a)); }

/// Four parts of 32 values of one row, in each of `Sets`: 128-bit lane q has values 0-15 of its part in `first` and
/// 16-31 in `second`, unsigned.
template <int Sets>
struct PartsOfRow {
  Ints first[Sets], second[Sets];
};
/// Scales of `Vectors` vectors; names as in Slab.
template <int Vectors>
struct VectorScales {
  Vec scale[Vectors], more[2][Vectors];

  DSMOE_INLINE Vec scale_of(int i) const { return scale[i]; }
  DSMOE_INLINE Vec more_of(int half, int i) const { return more[half][i]; }
};

/// Formats of one part a block: four blocks of a row are a set, and each block begins with its scale (and minimum).
/// Their scales are those of four rows, a vector a set: lane r of 128-bit lane q is row r's.
template <class Format>
struct OnePart {
  static constexpr int part_of(int set, int lane128) { return 4 * set + lane128; }
  /// Sixteen bytes of each of four blocks, from byte At on.
  template <int At>
  static DSMOE_INLINE Ints four_blocks(const uint8_t* p) {
    constexpr int kBytes = block_bytes(Format::kType);
    return Ints::lanes128<At, kBytes, 2 * kBytes, 3 * kBytes>(p);
  }
  template <int Sets>
  static DSMOE_INLINE VectorScales<Sets> scales(const uint8_t* p, int64_t stride) {
    constexpr int kBytes = block_bytes(Format::kType);
    VectorScales<Sets> s;
    unrolled<Sets>([&](int set) DSMOE_INLINE {
      const uint8_t* blocks = p + 4 * set * kBytes;
      s.scale[set] = block_halves<kBytes, 0>(blocks, stride);
      if constexpr (Format::kForm == Form::kMinimum) s.more[0][set] = block_halves<kBytes, 1>(blocks, stride);
    });
    return s;
  }
  template <int Sets>
  static DSMOE_INLINE PartsOfRow<Sets> parts(const uint8_t* p) {
    PartsOfRow<Sets> parts;
    unrolled<Sets>([&](int set) DSMOE_INLINE {
      Format::set_of_row(p + 4 * set * block_bytes(Format::kType), parts.first[set], parts.second[set]);
    });
    return parts;
  }
  template <int At>
  static DSMOE_INLINE void halves(const uint8_t* p, Ints& first, Ints& second) {
    const Ints q = four_blocks<At>(p);
    first = low_half(q);
    second = high_half(q);
  }
  /// The same with 32 fifth bits of each block from byte Bits on.
  template <int At, int Bits>
  static DSMOE_INLINE void halves(const uint8_t* p, Ints& first, Ints& second) {
    const Ints high = right_by(block_dwords<block_bytes(Format::kType), Bits>(p), Ints::by_lane(0, 4, 8, 12));
    halves<At>(p, first, second);
    first = first | spread_bits(high);
    second = second | spread_bits(right<16>(high));
  }
};

struct Q8_0 : OnePart<Q8_0> {
  static constexpr BlockType kType = BlockType::kQ8_0;
  static constexpr int kBits = 8, kOffset = 7;
  static constexpr Form kForm = Form::kOffset;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int block, To& to) {
    to.put_scale(block, halves_to_floats(load_columns(rows).column[0]));
    const Columns first = load_columns(rows + 2), second = load_columns(rows + 18);
    counted<4>([&](auto index) DSMOE_INLINE {
      constexpr int j = decltype(index)::value;
      to.template put<j>(block, first.column[j] ^ Ints::all(static_cast<int32_t>(0x80808080)));
    });
    counted<4>([&](auto index) DSMOE_INLINE {
      constexpr int j = decltype(index)::value;
      to.template put<j + 4>(block, second.column[j] ^ Ints::all(static_cast<int32_t>(0x80808080)));
    });
  }
  static DSMOE_INLINE void set_of_row(const uint8_t* p, Ints& first, Ints& second) {
    const Ints signs = Ints::all(static_cast<int32_t>(0x80808080));
    first = four_blocks<2>(p) ^ signs;
    second = four_blocks<18>(p) ^ signs;
  }
};

struct Q4_0 : OnePart<Q4_0> {
  static constexpr BlockType kType = BlockType::kQ4_0;
  static constexpr int kBits = 4, kOffset = 3;
  static constexpr Form kForm = Form::kOffset;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int block, To& to) {
    to.put_scale(block, halves_to_floats(load_columns(rows).column[0]));
    put_halves(rows + 2, block, to);
  }
  static DSMOE_INLINE void set_of_row(const uint8_t* p, Ints& first, Ints& second) { halves<2>(p, first, second); }
};

struct Q4_1 : OnePart<Q4_1> {
  static constexpr BlockType kType = BlockType::kQ4_1;
  static constexpr int kBits = 4, kOffset = 0;
  static constexpr Form kForm = Form::kMinimum;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int block, To& to) {
    const Ints head = load_columns(rows).column[0];
    to.put_scale(block, halves_to_floats(head));
    to.put_more(0, block, high_halves_to_floats(head));
    put_halves(rows + 4, block, to);
  }
  static DSMOE_INLINE void set_of_row(const uint8_t* p, Ints& first, Ints& second) { halves<4>(p, first, second); }
};

struct Q5_0 : OnePart<Q5_0> {
  static constexpr BlockType kType = BlockType::kQ5_0;
  static constexpr int kBits = 5, kOffset = 4;
  static constexpr Form kForm = Form::kOffset;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int block, To& to) {
    const Columns head = load_columns(rows);
    to.put_scale(block, halves_to_floats(head.column[0]));
    put_halves(rows + 6, right<16>(head.column[0]) | left<16>(head.column[1]), block, to);
  }
  static DSMOE_INLINE void set_of_row(const uint8_t* p, Ints& first, Ints& second) { halves<6, 2>(p, first, second); }
};

struct Q5_1 : OnePart<Q5_1> {
  static constexpr BlockType kType = BlockType::kQ5_1;
  static constexpr int kBits = 5, kOffset = 0;
  static constexpr Form kForm = Form::kMinimum;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int block, To& to) {
    const Columns head = load_columns(rows);
    to.put_scale(block, halves_to_floats(head.column[0]));
    to.put_more(0, block, high_halves_to_floats(head.column[0]));
    put_halves(rows + 8, head.column[1], block, to);
  }
  static DSMOE_INLINE void set_of_row(const uint8_t* p, Ints& first, Ints& second) { halves<8, 4>(p, first, second); }
};

/// Scales and minima of the eight parts of Q4_K and Q5_K: a row's first sixteen bytes are d, dmin and the twelve bytes
/// of six-bit numbers. All products are exact: 11 bits times 6.
template <class To>
inline DSMOE_INLINE void put_six_bit_scales(const LaneRows& rows, To& to) {
  const Columns head = load_columns(rows);
  const Vec d = halves_to_floats(head.column[0]);
  const Vec minus_dmin = Vec::zero() - high_halves_to_floats(head.column[0]);
  const Ints &scales = head.column[1], &minima = head.column[2], &upper = head.column[3];
  const Ints six = Ints::all(63), four = Ints::all(15), top = Ints::all(0x30);
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int j = decltype(index)::value;
    const auto put = [&](int part, Ints scale, Ints minimum) DSMOE_INLINE {
      to.put_scale(part, d * to_floats(scale));
      to.put_more(0, part, minus_dmin * to_floats(minimum));
    };
    put(j, right<8 * j>(scales) & six, right<8 * j>(minima) & six);
    put(j + 4, (right<8 * j>(upper) & four) | (shifted<-(8 * j + 2)>(scales) & top),
        (right<8 * j + 4>(upper) & four) | (shifted<-(8 * j + 2)>(minima) & top));
  });
}

/// Formats of eight parts a block: its parts are two sets. Their scales are those of eight rows, a vector a pair of
/// parts, a half of the lanes each: of pair i, 128-bit lanes i % 2 and 2 + i % 2 of set i / 2.
///
/// Here parts j and 4 + j, from the same bytes.
template <class Format>
inline DSMOE_INLINE VectorScales<4> six_bit_scales(const uint8_t* p, int64_t stride) {
  // Of each row, bytes are parts: scales of the first four and of the last, minima of the first four and of the last.
  const auto bytes = [](Ints head) DSMOE_INLINE {
    const Ints six = Ints::by_lane(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f);
    const Ints top = right<2>(lanes<1, 1, 2, 2>(head)) & Ints::by_lane(0, 0x30303030, 0, 0x30303030);
    return (right_by(lanes<1, 3, 2, 3>(head), Ints::by_lane(0, 0, 0, 4)) & six) | top;
  };
  const Ints a = Ints::lanes128(p, stride), b = Ints::lanes128(p + 4 * stride, stride);
  const Ints of_a = bytes(a), of_b = bytes(b);
  const Ints scales = columns<0, 1>(of_a, of_b), minima = columns<2, 3>(of_a, of_b);
  const Vec d = half_columns<0>(a, b), minus_dmin = Vec::zero() - half_columns<1>(a, b);
  VectorScales<4> s;
  counted<4>([&](auto index) DSMOE_INLINE {
    constexpr int pair = decltype(index)::value, j = Format::part_of(pair / 2, pair % 2);
    s.scale[pair] = d * to_floats(right<8 * j>(scales) & Ints::all(255));
    s.more[0][pair] = minus_dmin * to_floats(right<8 * j>(minima) & Ints::all(255));
  });
  return s;
}

struct Q4K {
  static constexpr BlockType kType = BlockType::kQ4K;
  static constexpr int kBits = 4, kOffset = 0;
  static constexpr int part_of(int set, int lane128) { return 2 * lane128 + set; }
  static constexpr Form kForm = Form::kMinimum;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int, To& to) {
    put_six_bit_scales(rows, to);
    counted<8>([&](auto which) DSMOE_INLINE {  // bytes 16 * sixteen ... hold values of two parts
      constexpr int sixteen = decltype(which)::value, part = sixteen / 2 * 2;
      const Columns q = load_columns(rows + (16 + 16 * sixteen));
      counted<4>([&](auto index) DSMOE_INLINE {
        constexpr int j = decltype(index)::value, four = sixteen % 2 * 4 + j;
        to.template put<four>(part, low_half(q.column[j]));
        to.template put<four>(part + 1, high_half(q.column[j]));
      });
    });
  }
  template <int Sets>
  static DSMOE_INLINE VectorScales<4> scales(const uint8_t* p, int64_t stride) {
    return six_bit_scales<Q4K>(p, stride);
  }
  template <int Sets>
  static DSMOE_INLINE PartsOfRow<2> parts(const uint8_t* p) {
    Ints a, b;
    sixteens(p + 16, a, b);
    return {{low_half(a), high_half(a)}, {low_half(b), high_half(b)}};
  }
};

struct Q5K {
  static constexpr BlockType kType = BlockType::kQ5K;
  static constexpr int kBits = 5, kOffset = 0;
  static constexpr int part_of(int set, int lane128) { return 2 * lane128 + set; }
  static constexpr Form kForm = Form::kMinimum;
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int, To& to) {
    put_six_bit_scales(rows, to);
    counted<2>([&](auto which) DSMOE_INLINE {  // values 0-15 and 16-31 of all parts: the same fifth bits' bytes
      constexpr int side = decltype(which)::value;
      const Columns high = load_columns(rows + (16 + 16 * side));
      counted<4>([&](auto index) DSMOE_INLINE {
        constexpr int pair = decltype(index)::value;
        const Columns q = load_columns(rows + (48 + 32 * pair + 16 * side));
        counted<4>([&](auto index) DSMOE_INLINE {
          constexpr int j = decltype(index)::value, four = side * 4 + j;
          const Ints fifth = Ints::all(0x10101010), bits = high.column[j];
          to.template put<four>(2 * pair, low_half(q.column[j]) | (shifted<4 - 2 * pair>(bits) & fifth));
          to.template put<four>(2 * pair + 1, high_half(q.column[j]) | (shifted<3 - 2 * pair>(bits) & fifth));
        });
      });
    });
  }
  template <int Sets>
  static DSMOE_INLINE VectorScales<4> scales(const uint8_t* p, int64_t stride) {
    return six_bit_scales<Q5K>(p, stride);
  }
  template <int Sets>
  static DSMOE_INLINE PartsOfRow<2> parts(const uint8_t* p) {
    Ints a, b;
    sixteens(p + 48, a, b);
    const Ints high_a = Ints::lanes128<16, 0, 0, 0>(p), high_b = Ints::lanes128<32, 0, 0, 0>(p);
    const auto fifth = [](Ints high, int set) DSMOE_INLINE {  // bit 2 q + set of each byte, as bit 4
      const auto by = [&](int lane128) DSMOE_INLINE { return (4 - 2 * lane128 - set) & 31; };
      return rotated_by(high, Ints::by_lane128(by(0), by(1), by(2), by(3))) & Ints::all(0x10101010);
    };
    return {{low_half(a) | fifth(high_a, 0), high_half(a) | fifth(high_a, 1)},
            {low_half(b) | fifth(high_b, 0), high_half(b) | fifth(high_b, 1)}};
  }
};

struct Q6K {
  static constexpr BlockType kType = BlockType::kQ6K;
  static constexpr int kBits = 6, kOffset = 5;
  static constexpr int part_of(int set, int lane128) { return lane128 / 2 * 4 + lane128 % 2 + 2 * set; }
  static constexpr Form kForm = Form::kHalves;
  /// Byte J of each lane, with its sign.
  template <int J>
  static DSMOE_INLINE Vec signed_byte(Ints a) {
    return to_floats(signed_right<24>(left<24 - 8 * J>(a)));
  }
  template <class To>
  static DSMOE_INLINE void put_scales(const LaneRows& rows, To& to) {
    const Vec d = high_halves_to_floats(load_columns(rows + 194).column[3]);  // bytes 208 and 209
    const Columns scales = load_columns(rows + 192);
    counted<4>([&](auto index) DSMOE_INLINE {
      constexpr int j = decltype(index)::value;
      to.put_more(0, 2 * j, signed_byte<0>(scales.column[j]));
      to.put_more(1, 2 * j, signed_byte<1>(scales.column[j]));
      to.put_more(0, 2 * j + 1, signed_byte<2>(scales.column[j]));
      to.put_more(1, 2 * j + 1, signed_byte<3>(scales.column[j]));
      to.put_scale(2 * j, d);
      to.put_scale(2 * j + 1, d);
    });
  }
  template <class To>
  static DSMOE_INLINE void unpack(const LaneRows& rows, int, To& to) {
    put_scales(rows, to);
    counted<4>([&](auto which) DSMOE_INLINE {  // quarters of 64 values: which 128, and which sixteen of each 32
      constexpr int quarter = decltype(which)::value, side = quarter % 2, part = quarter / 2 * 4;
      const LaneRows q = rows + (quarter / 2 * 64 + side * 16);
      const Columns first = load_columns(q), second = load_columns(q + 32);
      const Columns high = load_columns(rows + (128 + quarter / 2 * 32 + side * 16));
      counted<4>([&](auto index) DSMOE_INLINE {
        constexpr int j = decltype(index)::value, four = side * 4 + j;
        const Ints upper = Ints::all(0x30303030), bits = high.column[j];
        to.template put<four>(part, low_half(first.column[j]) | (left<4>(bits) & upper));
        to.template put<four>(part + 1, low_half(second.column[j]) | (left<2>(bits) & upper));
        to.template put<four>(part + 2, high_half(first.column[j]) | (bits & upper));
        to.template put<four>(part + 3, high_half(second.column[j]) | (right<2>(bits) & upper));
      });
    });
  }
  template <int Sets>
  static DSMOE_INLINE VectorScales<4> scales(const uint8_t* p, int64_t stride) {
    const auto four_rows = [&](int64_t row, int64_t at)
                               DSMOE_INLINE { return Ints::lanes128(p + row * stride + at, stride); };
    const Vec d = half_columns<7>(four_rows(0, 194), four_rows(4, 194));
    const Ints a = four_rows(0, 192), b = four_rows(4, 192);  // lane j has those of parts 2 j and 2 j + 1
    const Ints of[] = {columns<0, 2>(a, b), columns<1, 3>(a, b)};
    VectorScales<4> s;
    counted<4>([&](auto index) DSMOE_INLINE {
      constexpr int pair = decltype(index)::value, byte = pair % 2 * 2;
      s.scale[pair] = d;
      s.more[0][pair] = signed_byte<byte>(of[pair / 2]);
      s.more[1][pair] = signed_byte<byte + 1>(of[pair / 2]);
    });
    return s;
  }
  template <int Sets>
  static DSMOE_INLINE PartsOfRow<2> parts(const uint8_t* p) {
    Ints a, b;
    sixteens(p, a, b);
    const Ints high = Ints::load(p + 128), high_a = pick<0, 0, 2, 2>(high), high_b = pick<1, 1, 3, 3>(high);
    const auto upper = [](Ints bits, int set) DSMOE_INLINE {  // bits 4 set + 2 (q % 2) and the next, as bits 4 and 5
      const int even = 4 - 4 * set, odd = (2 - 4 * set) & 31;
      return rotated_by(bits, Ints::by_lane128(even, odd, even, odd)) & Ints::all(0x30303030);
    };
    return {{low_half(a) | upper(high_a, 0), high_half(a) | upper(high_a, 1)},
            {low_half(b) | upper(high_b, 0), high_half(b) | upper(high_b, 1)}};
  }
};

}  // namespace
}  // namespace dsmoe::kernels
