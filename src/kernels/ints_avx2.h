// Sixteen 32-bit integers as two AVX2 registers; the contract is in ints_scalar.h.
#pragma once

#include "kernels/lane_rows.h"
#include "kernels/vec_avx2.h"

namespace dsmoe::kernels {
namespace {

constexpr int few_tokens(int) { return 2; }
constexpr int gemv_tokens(int parts, int bits) { return parts == 1 && bits != 5 ? 1 : 0; }
constexpr int gemv_sets(int, int) { return 1; }
constexpr int kSlabGroups = 1;
constexpr int most_tokens(int bits) { return bits == 4 ? 4 : 2; }

struct Ints {
  __m256i low, high;

  static Ints all(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static Ints load(const void* p) {
    const auto* half = static_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(half), _mm256_loadu_si256(half + 1)};
  }
  void store(void* p) const {
    auto* half = static_cast<__m256i*>(p);
    _mm256_storeu_si256(half, low);
    _mm256_storeu_si256(half + 1, high);
  }
  static Ints repeat(const void* p) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return all(four);
  }
  template <int A, int B>
  static Ints halves(const void* of) {
    const auto* p = static_cast<const char*>(of);
    return {repeat(p + 4 * A).low, repeat(p + 4 * B).low};
  }
  static Ints by_lane128(int a, int b, int c, int d) {
    return {_mm256_setr_epi32(a, a, a, a, b, b, b, b), _mm256_setr_epi32(c, c, c, c, d, d, d, d)};
  }
  static Ints by_lane(int a, int b, int c, int d) {
    const __m256i x = _mm256_setr_epi32(a, b, c, d, a, b, c, d);
    return {x, x};
  }
  static __m256i two_lanes128(const void* p, const void* q) {
    const auto *first = static_cast<const __m128i*>(p), *second = static_cast<const __m128i*>(q);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(first)), _mm_loadu_si128(second), 1);
  }
  template <int At, int B, int C, int D>
  static Ints lanes128(const void* p) {
    const auto* at = static_cast<const char*>(p) + At;
    return {two_lanes128(at, at + B), two_lanes128(at + C, at + D)};
  }
  static Ints lanes128(const void* p, int64_t stride) {
    const auto* at = static_cast<const char*>(p);
    return {two_lanes128(at, at + stride), two_lanes128(at + 2 * stride, at + 3 * stride)};
  }

  friend Ints operator&(Ints a, Ints b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
  friend Ints operator|(Ints a, Ints b) { return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)}; }
  friend Ints operator^(Ints a, Ints b) { return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)}; }
  friend Ints operator+(Ints a, Ints b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
  friend Ints operator-(Ints a, Ints b) { return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)}; }
};

template <int N>
inline Ints left(Ints a) {
  return {_mm256_slli_epi32(a.low, N), _mm256_slli_epi32(a.high, N)};
}
template <int N>
inline Ints right(Ints a) {
  return {_mm256_srli_epi32(a.low, N), _mm256_srli_epi32(a.high, N)};
}
template <int N>
inline Ints signed_right(Ints a) {
  return {_mm256_srai_epi32(a.low, N), _mm256_srai_epi32(a.high, N)};
}

inline Vec to_floats(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
inline Ints to_ints(Vec a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
inline int32_t sum(Ints a) {
  const __m256i eight = _mm256_add_epi32(a.low, a.high);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
inline void store_bytes(Ints a, int8_t* p) {
  const __m256i low_byte = _mm256_set1_epi32(255);
  const __m256i words = _mm256_packus_epi32(_mm256_and_si256(a.low, low_byte), _mm256_and_si256(a.high, low_byte));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}
inline Vec halves_to_floats(Ints a) {
  const __m256i low_half = _mm256_set1_epi32(0xffff);
  const __m256i words = _mm256_packus_epi32(_mm256_and_si256(a.low, low_half), _mm256_and_si256(a.high, low_half));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(ordered)), _mm256_cvtph_ps(_mm256_extracti128_si256(ordered, 1))};
}

inline Vec as_floats(Ints a) { return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)}; }
inline Ints right_by(Ints a, Ints n) { return {_mm256_srlv_epi32(a.low, n.low), _mm256_srlv_epi32(a.high, n.high)}; }
inline Ints rotated_by(Ints a, Ints n) {
  const Ints left{_mm256_sllv_epi32(a.low, n.low), _mm256_sllv_epi32(a.high, n.high)};
  return left | right_by(a, Ints::all(32) - n);
}

template <int A, int B, int C, int D>
inline Ints pick(Ints a) {
  return {_mm256_permute2x128_si256(a.low, a.high, A | B << 4), _mm256_permute2x128_si256(a.low, a.high, C | D << 4)};
}
template <int A, int B, int C, int D>
inline Ints lanes(Ints a) {
  constexpr int kFrom = A | B << 2 | C << 4 | D << 6;
  return {_mm256_shuffle_epi32(a.low, kFrom), _mm256_shuffle_epi32(a.high, kFrom)};
}
inline __m256i add_neighbours(__m256i a, __m256i b) {
  return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
inline __m256i sum_lanes128(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i ab = add_neighbours(a, b), cd = add_neighbours(c, d);
  return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}
inline Ints sum_lanes128(Ints a, Ints b, Ints c, Ints d) {
  return {sum_lanes128(a.low, b.low, c.low, d.low), sum_lanes128(a.high, b.high, c.high, d.high)};
}
inline void sixteens(const void* p, Ints& first, Ints& second) {
  first = Ints::lanes128<0, 32, 64, 96>(p);
  second = Ints::lanes128<16, 32, 64, 96>(p);
}
template <int Stride, int At>
inline Vec block_halves(const uint8_t* p, int64_t row_stride) {
  const auto two_blocks = [&](const uint8_t* at) DSMOE_INLINE {
    const auto row = [&](int64_t r)
                         DSMOE_INLINE { return Ints::two_lanes128(at + r * row_stride, at + r * row_stride + Stride); };
    return _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(row(0), row(1)), _mm256_unpacklo_epi32(row(2), row(3)));
  };
  const Ints heads{two_blocks(p), two_blocks(p + 2 * Stride)};
  return halves_to_floats(At == 0 ? heads : right<16>(heads));
}

template <int Stride, int At>
inline Ints block_dwords(const uint8_t* p) {
  return lanes<0, 0, 0, 0>(Ints::lanes128<At, Stride, 2 * Stride, 3 * Stride>(p));
}

struct Eight {
  __m256 x = _mm256_setzero_ps();
  void store(float* p) const { _mm256_storeu_ps(p, x); }
  void store_four(float* p) const { _mm_storeu_ps(p, _mm256_castps256_ps128(x)); }
};
inline Eight operator+(Eight a, Eight b) { return {_mm256_add_ps(a.x, b.x)}; }
struct EightLanes128 {
  Vec a, b;
  EightLanes128(Vec first, Vec second) : a(first), b(second) {}
  template <int Lane128>
  Eight get() const {
    const __m256 x = Lane128 < 2 ? a.low : a.high, y = Lane128 < 2 ? b.low : b.high;
    return {_mm256_permute2f128_ps(x, y, Lane128 % 2 == 0 ? 0x20 : 0x31)};
  }
};

template <int Odd>
inline Ints join(Ints a, Ints b) {
  constexpr int kHalves = Odd == 0 ? 0x20 : 0x31;
  return {_mm256_permute2x128_si256(a.low, b.low, kHalves), _mm256_permute2x128_si256(a.high, b.high, kHalves)};
}
template <int A, int B>
inline Ints columns(Ints a, Ints b) {
  // Of rows 0 and 2 beside 1 and 3; of a's beside b's; then in order.
  constexpr int kFrom = A | B << 2 | A << 4 | B << 6;
  const auto rows = [](Ints x) DSMOE_INLINE {
    return _mm256_shuffle_ps(_mm256_castsi256_ps(x.low), _mm256_castsi256_ps(x.high), kFrom);
  };
  const __m256 of_a = rows(a), of_b = rows(b);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const auto column = [&](__m256 x) DSMOE_INLINE { return _mm256_permutevar8x32_epi32(_mm256_castps_si256(x), order); };
  return {column(_mm256_shuffle_ps(of_a, of_b, 0x88)), column(_mm256_shuffle_ps(of_a, of_b, 0xdd))};
}
template <int At>
inline Vec half_columns(Ints a, Ints b) {
  const Ints column = columns<At / 2, At / 2>(a, b);
  return halves_to_floats(At % 2 == 0 ? column : right<16>(column));
}
template <int Half>
inline Eight eight(Vec a) {
  return {Half == 0 ? a.low : a.high};
}

struct Columns {
  Ints column[4];
};
/// Eight rows' four columns.
inline DSMOE_INLINE void load_half_columns(const uint8_t* p, int64_t stride, __m256i* column) {
  const auto rows = [&](int64_t r) {
    const auto* near = reinterpret_cast<const __m128i*>(p + r * stride);
    const auto* far = reinterpret_cast<const __m128i*>(p + (r + 4) * stride);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(near)), _mm_loadu_si128(far), 1);
  };
  const __m256i a = rows(0), b = rows(1), c = rows(2), d = rows(3);
  const __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
  const __m256i ab_high = _mm256_unpackhi_epi32(a, b), cd_high = _mm256_unpackhi_epi32(c, d);
  column[0] = _mm256_unpacklo_epi64(ab, cd);
  column[1] = _mm256_unpackhi_epi64(ab, cd);
  column[2] = _mm256_unpacklo_epi64(ab_high, cd_high);
  column[3] = _mm256_unpackhi_epi64(ab_high, cd_high);
}
inline DSMOE_INLINE Columns load_columns(const LaneRows& rows) {
  __m256i low[4], high[4];
  load_half_columns(rows.first, rows.stride, low);
  load_half_columns(rows.first + 8 * rows.stride, rows.stride, high);
  return {{{low[0], high[0]}, {low[1], high[1]}, {low[2], high[2]}, {low[3], high[3]}}};
}

inline __m256i spread_half(__m256i a) {
  const __m256i four = _mm256_and_si256(a, _mm256_set1_epi32(15));
  // Shifts by 4, 11, 18 and 25 as one product: bit i lands at 8 i + 4, other bits beside the mask.
  return _mm256_and_si256(_mm256_mullo_epi32(four, _mm256_set1_epi32(0x02040810)), _mm256_set1_epi32(0x10101010));
}
inline Ints spread_bits(Ints a) { return {spread_half(a.low), spread_half(a.high)}; }

/// Sums of two products fit 16 bits, and so do those of kSteps steps: 2 * 127 * (2^Bits - 1) * kSteps < 2^15.
template <int Bits>
struct Dots {
  static constexpr int kSteps = Bits == 4 ? 8 : Bits == 5 ? 4 : 2;
  static_assert(2 * 127 * ((1 << Bits) - 1) * kSteps < 32768);
  __m256i low, high, low_total, high_total;

  template <int Step>
  static void add_half(__m256i weights, __m256i x, __m256i& pairs, __m256i& total) {
    const __m256i products = _mm256_maddubs_epi16(weights, x);
    pairs = Step % kSteps == 0 ? products : _mm256_add_epi16(pairs, products);
    asm("" : "+x"(pairs));  // else g++ adds products as a tree, and all of them wait in memory
    if constexpr (Step % kSteps == kSteps - 1) {
      const __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
      total = Step == kSteps - 1 ? sums : _mm256_add_epi32(total, sums);
    }
  }
  template <int Step>
  void add(Ints weights, Ints x) {
    add_half<Step>(weights.low, x.low, low, low_total);
    add_half<Step>(weights.high, x.high, high, high_total);
  }
  Ints sum() const { return {low_total, high_total}; }
};
inline Ints pairs(Ints weights, Ints x) {
  return {_mm256_maddubs_epi16(weights.low, x.low), _mm256_maddubs_epi16(weights.high, x.high)};
}
inline Ints add_pairs(Ints a) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(a.low, ones), _mm256_madd_epi16(a.high, ones)};
}
inline Ints add_words(Ints a, Ints b) { return {_mm256_add_epi16(a.low, b.low), _mm256_add_epi16(a.high, b.high)}; }

}  // namespace
}  // namespace dsmoe::kernels

#include "kernels/ints_word_sums.h"
