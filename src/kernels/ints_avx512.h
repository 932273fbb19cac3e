// Sixteen 32-bit integers as one AVX-512 register; the contract is in ints_scalar.h.
#pragma once

#include "kernels/lane_rows.h"
#include "kernels/vec_avx512.h"

namespace dsmoe::kernels {
namespace {

constexpr int few_tokens(int parts) { return parts == 1 ? 6 : 2; }
constexpr int gemv_tokens(int, int) { return 2; }
constexpr int gemv_sets(int tokens, int bits) { return tokens == 2 && bits == 5 ? 1 : 2; }
constexpr int kSlabGroups = 2;
constexpr int most_tokens(int bits) { return kDotProducts || bits < 8 ? 6 : 3; }

/// Which words a permutation takes.
struct alignas(64) Words {
  uint16_t at[32];
};
template <class From>
constexpr Words words_of(From from) {
  Words words{};
  for (int i = 0; i < 32; ++i) words.at[i] = static_cast<uint16_t>(from(i));
  return words;
}

struct Ints {
  __m512i x;

  static Ints all(int32_t value) { return {_mm512_set1_epi32(value)}; }
  static Ints load(const void* p) { return {_mm512_loadu_si512(p)}; }
  void store(void* p) const { _mm512_storeu_si512(p, x); }
  static Ints repeat(const void* p) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return all(four);
  }
  template <int A, int B>
  static Ints halves(const void* of) {
    const auto* p = static_cast<const char*>(of);
    int32_t b;
    __builtin_memcpy(&b, p + 4 * B, sizeof(b));
    return {_mm512_mask_broadcastd_epi32(repeat(p + 4 * A).x, 0xff00, _mm_cvtsi32_si128(b))};
  }
  static Ints by_lane128(int a, int b, int c, int d) {
    return {_mm512_setr_epi32(a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d)};
  }
  static Ints by_lane(int a, int b, int c, int d) { return {_mm512_setr4_epi32(a, b, c, d)}; }
  static __m128i lane128(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static Ints lanes128(const char* p, int64_t b, int64_t c, int64_t d) {
    // Broadcast and masked rather than inserted: that takes none of the units that permute, which are the scarce ones.
    __m512i x = _mm512_castsi128_si512(lane128(p));
    x = _mm512_mask_broadcast_i32x4(x, 0x00f0, lane128(p + b));
    x = _mm512_mask_broadcast_i32x4(x, 0x0f00, lane128(p + c));
    return {_mm512_mask_broadcast_i32x4(x, 0xf000, lane128(p + d))};
  }
  template <int At, int B, int C, int D>
  static Ints lanes128(const void* of) {
    const auto* p = static_cast<const char*>(of);
    if constexpr (B == 16 && C == 32 && D == 48) {
      return load(p + At);
    } else if constexpr (B == 0 && C == 0 && D == 0) {
      return {_mm512_broadcast_i32x4(lane128(p + At))};
    } else {
      return lanes128(p + At, B, C, D);
    }
  }
  static Ints lanes128(const void* p, int64_t stride) {
    return lanes128(static_cast<const char*>(p), stride, 2 * stride, 3 * stride);
  }
  friend Ints operator&(Ints a, Ints b) { return {_mm512_and_si512(a.x, b.x)}; }
  friend Ints operator|(Ints a, Ints b) { return {_mm512_or_si512(a.x, b.x)}; }
  friend Ints operator^(Ints a, Ints b) { return {_mm512_xor_si512(a.x, b.x)}; }
  friend Ints operator+(Ints a, Ints b) { return {_mm512_add_epi32(a.x, b.x)}; }
  friend Ints operator-(Ints a, Ints b) { return {_mm512_sub_epi32(a.x, b.x)}; }
};

template <int N>
inline Ints left(Ints a) {
  return {_mm512_slli_epi32(a.x, N)};
}
template <int N>
inline Ints right(Ints a) {
  return {_mm512_srli_epi32(a.x, N)};
}
template <int N>
inline Ints signed_right(Ints a) {
  return {_mm512_srai_epi32(a.x, N)};
}

inline Vec to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.x)}; }
inline Ints to_ints(Vec a) { return {_mm512_cvtps_epi32(a.x)}; }
inline int32_t sum(Ints a) { return _mm512_reduce_add_epi32(a.x); }
inline void store_bytes(Ints a, int8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.x));
}
inline Vec halves_to_floats(Ints a) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(a.x))}; }

inline Vec as_floats(Ints a) { return {_mm512_castsi512_ps(a.x)}; }
inline Ints right_by(Ints a, Ints n) { return {_mm512_srlv_epi32(a.x, n.x)}; }
inline Ints rotated_by(Ints a, Ints n) { return {_mm512_rolv_epi32(a.x, n.x)}; }

template <int A, int B, int C, int D>
inline Ints pick(Ints a) {
  return {_mm512_shuffle_i64x2(a.x, a.x, A | B << 2 | C << 4 | D << 6)};
}
template <int A, int B, int C, int D>
inline Ints lanes(Ints a) {
  return {_mm512_shuffle_epi32(a.x, static_cast<_MM_PERM_ENUM>(A | B << 2 | C << 4 | D << 6))};
}
inline __m512i add_neighbours(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
inline Ints sum_lanes128(Ints a, Ints b, Ints c, Ints d) {
  const __m512i ab = add_neighbours(a.x, b.x), cd = add_neighbours(c.x, d.x);
  return {_mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))};
}
/// Two loads of 32 bytes where one of 64 would do, as that would nearly always touch two lines: slower from the caches,
/// faster from memory (docs/kernels/quantised.md).
inline void sixteens(const void* p, Ints& first, Ints& second) {
  const auto* at = static_cast<const __m256i*>(p);
  const auto two = [&](int i) DSMOE_INLINE {
    const __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256(at + i));
    return _mm512_mask_broadcast_i64x4(low, 0xf0, _mm256_loadu_si256(at + i + 1));
  };
  const __m512i a = two(0), b = two(2);
  first = {_mm512_shuffle_i64x2(a, b, 0x88)};
  second = {_mm512_shuffle_i64x2(a, b, 0xdd)};
}
/// Words of four rows, those of row 0 in every lane; a mask for each row says which lanes are its own.
template <int Stride, int At>
inline Vec block_halves(const uint8_t* p, int64_t row_stride) {
  constexpr int kLast = 3 * Stride + 2 * At + 2 - 64;  // a register from here on ends with the last one
  constexpr bool kOne = kLast <= 0;
  static constexpr Words kWords = words_of([](int i) {
    const int byte = i / 4 % 4 * Stride + 2 * At;
    return kOne || byte < 64 ? byte / 2 : 32 + (byte - kLast) / 2;
  });
  const __m512i words = _mm512_load_si512(&kWords);
  __m512i x = _mm512_setzero_si512();
  unrolled<4>([&](int r) DSMOE_INLINE {
    const uint8_t* row = p + r * row_stride;
    const auto own = static_cast<__mmask32>(0x1111 << r);
    if constexpr (kOne) {
      x = _mm512_mask_permutexvar_epi16(x, own, words, _mm512_loadu_si512(row));
    } else {
      const __m512i both = _mm512_permutex2var_epi16(_mm512_loadu_si512(row), words, _mm512_loadu_si512(row + kLast));
      x = _mm512_mask_mov_epi16(x, own, both);
    }
  });
  return {_mm512_cvtph_ps(_mm512_castsi512_si256(x))};
}

template <int Stride, int At>
inline Ints block_dwords(const uint8_t* p) {
  constexpr int kLast = 3 * Stride + At + 4 - 64;  // as above
  static constexpr Words kWords = words_of([](int i) {
    const int byte = i / 8 * Stride + At + i % 2 * 2;
    return byte < 64 ? byte / 2 : 32 + (byte - kLast) / 2;
  });
  return {_mm512_permutex2var_epi16(_mm512_loadu_si512(p), _mm512_load_si512(&kWords), _mm512_loadu_si512(p + kLast))};
}

struct Eight {
  __m256 x = _mm256_setzero_ps();
  void store(float* p) const { _mm256_storeu_ps(p, x); }
  void store_four(float* p) const { _mm_storeu_ps(p, _mm256_castps256_ps128(x)); }
};
inline Eight operator+(Eight a, Eight b) { return {_mm256_add_ps(a.x, b.x)}; }
struct EightLanes128 {
  __m512 first, last;  // the first 128-bit lanes of a and b and their second; the third and the fourth

  EightLanes128(Vec a, Vec b)
      : first(_mm512_permutex2var_ps(a.x, _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
                                     b.x)),
        last(_mm512_permutex2var_ps(
            a.x, _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31), b.x)) {}
  template <int Lane128>
  Eight get() const {
    const __m512 of = Lane128 < 2 ? first : last;
    return {Lane128 % 2 == 0 ? _mm512_castps512_ps256(of) : _mm512_extractf32x8_ps(of, 1)};
  }
};

template <int Odd>
inline Ints join(Ints a, Ints b) {
  constexpr int k = 4 * Odd;
  const __m512i from = _mm512_setr_epi32(k, k + 1, k + 2, k + 3, k + 16, k + 17, k + 18, k + 19, k + 8, k + 9, k + 10,
                                         k + 11, k + 24, k + 25, k + 26, k + 27);
  return {_mm512_permutex2var_epi32(a.x, from, b.x)};
}
template <int A, int B>
inline Ints columns(Ints a, Ints b) {
  const __m512i from = _mm512_setr_epi32(A, A + 4, A + 8, A + 12, A + 16, A + 20, A + 24, A + 28, B, B + 4, B + 8,
                                         B + 12, B + 16, B + 20, B + 24, B + 28);
  return {_mm512_permutex2var_epi32(a.x, from, b.x)};
}
template <int At>
inline Vec half_columns(Ints a, Ints b) {
  static constexpr Words kWords = words_of([](int i) { return i % 8 * 8 + At; });
  return {_mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutex2var_epi16(a.x, _mm512_load_si512(&kWords), b.x)))};
}
template <int Half>
inline Eight eight(Vec a) {
  return {Half == 0 ? _mm512_castps512_ps256(a.x) : _mm512_extractf32x8_ps(a.x, 1)};
}

struct Columns {
  Ints column[4];
};
/// Rows i, i + 4, i + 8 and i + 12.
inline DSMOE_INLINE __m512i rows_by_four(const LaneRows& rows, int64_t i) {
  const auto at = [&](int64_t r) DSMOE_INLINE { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.at(r))); };
  __m512i x = _mm512_castsi128_si512(at(i));
  x = _mm512_inserti32x4(x, at(i + 4), 1);
  x = _mm512_inserti32x4(x, at(i + 8), 2);
  return _mm512_inserti32x4(x, at(i + 12), 3);
}
inline DSMOE_INLINE Columns load_columns(const LaneRows& rows) {
  const __m512i a = rows_by_four(rows, 0), b = rows_by_four(rows, 1);
  const __m512i c = rows_by_four(rows, 2), d = rows_by_four(rows, 3);
  const __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
  const __m512i ab_high = _mm512_unpackhi_epi32(a, b), cd_high = _mm512_unpackhi_epi32(c, d);
  return {{{_mm512_unpacklo_epi64(ab, cd)},
           {_mm512_unpackhi_epi64(ab, cd)},
           {_mm512_unpacklo_epi64(ab_high, cd_high)},
           {_mm512_unpackhi_epi64(ab_high, cd_high)}}};
}

inline Ints spread_bits(Ints a) {
  const __m512i table =
      _mm512_setr_epi32(0, 0x10, 0x1000, 0x1010, 0x100000, 0x100010, 0x101000, 0x101010, 0x10000000, 0x10000010,
                        0x10001000, 0x10001010, 0x10100000, 0x10100010, 0x10101000, 0x10101010);
  return {_mm512_permutexvar_epi32(a.x, table)};
}

#ifdef __AVX512VNNI__
template <int Bits>
struct Dots {
  __m512i total = _mm512_setzero_si512();

  template <int Step>
  void add(Ints weights, Ints x) {
    total = _mm512_dpbusd_epi32(total, weights.x, x.x);
  }
  Ints sum() const { return {total}; }
};
template <int>
inline Ints dot(Ints weights, Ints x) {
  return {_mm512_dpbusd_epi32(_mm512_setzero_si512(), weights.x, x.x)};
}
template <int Bits>
inline Ints dot(Ints weights, Ints x, Ints more_weights, Ints more_x) {
  return {_mm512_dpbusd_epi32(dot<Bits>(weights, x).x, more_weights.x, more_x.x)};
}
#else
/// Sums of two products fit 16 bits, and so do those of kSteps steps: 2 * 127 * (2^Bits - 1) * kSteps < 2^15.
template <int Bits>
struct Dots {
  static constexpr int kSteps = Bits == 4 ? 8 : Bits == 5 ? 4 : 2;
  static_assert(2 * 127 * ((1 << Bits) - 1) * kSteps < 32768);
  __m512i pairs, total;

  template <int Step>
  void add(Ints weights, Ints x) {
    const __m512i products = _mm512_maddubs_epi16(weights.x, x.x);
    pairs = Step % kSteps == 0 ? products : _mm512_add_epi16(pairs, products);
    asm("" : "+v"(pairs));  // else g++ adds products as a tree, and all of them wait in memory
    if constexpr (Step % kSteps == kSteps - 1) {
      const __m512i sums = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
      total = Step == kSteps - 1 ? sums : _mm512_add_epi32(total, sums);
    }
  }
  Ints sum() const { return {total}; }
};
inline Ints pairs(Ints weights, Ints x) { return {_mm512_maddubs_epi16(weights.x, x.x)}; }
inline Ints add_words(Ints a, Ints b) { return {_mm512_add_epi16(a.x, b.x)}; }
inline Ints add_pairs(Ints a) { return {_mm512_madd_epi16(a.x, _mm512_set1_epi16(1))}; }
#endif

}  // namespace
}  // namespace dsmoe::kernels

#ifndef __AVX512VNNI__
#include "kernels/ints_word_sums.h"
#endif
