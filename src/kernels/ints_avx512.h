// Sixteen 32-bit integers as one AVX-512 register; the contract is in ints_scalar.h.
#pragma once

#include "kernels/lane_rows.h"
#include "kernels/vec_avx512.h"

namespace dsmoe::kernels {
namespace {

constexpr int few_tokens(int parts) { return parts == 1 ? 6 : 2; }
constexpr int kSlabGroups = 2;
constexpr int most_tokens(int bits) { return kDotProducts || bits < 8 ? 6 : 3; }

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
  static Ints two(const void* p, const void* q) {
    int32_t four;
    __builtin_memcpy(&four, q, sizeof(four));
    return {_mm512_mask_set1_epi32(repeat(p).x, 0xff00, four)};
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

inline Vec two_floats(const float* p, const float* q) { return {_mm512_castsi512_ps(Ints::two(p, q).x)}; }
inline Vec upper_lanes(Vec a) { return {_mm512_shuffle_f32x4(a.x, a.x, 0xee)}; }

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
/// Eight bits do not fit: two halves of four.
template <>
struct Dots<8> {
  Dots<4> low, high;

  template <int Step>
  void add(Ints weights, Ints x) {
    const Ints nibble = Ints::all(0x0f0f0f0f);
    low.add<Step>(weights & nibble, x);
    high.add<Step>(right<4>(weights) & nibble, x);
  }
  Ints sum() const { return low.sum() + left<4>(high.sum()); }
};
#endif

}  // namespace
}  // namespace dsmoe::kernels
