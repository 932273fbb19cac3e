// Sixteen floats as one AVX-512 register; the contract is in vec_scalar.h.
#pragma once

#ifndef __clang__
// g++ 12 takes the deliberately undefined registers inside its own AVX-512 header for mistakes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstdint>

namespace dsmoe::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kRegisterBits = 512;
#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
constexpr bool kDotProducts = true;
#else
constexpr bool kDotProducts = false;
#endif
constexpr int kTileRows = 4, kTileTokens = 4, kMatvecRows = 8;  // 16 of the 32 registers hold sums
constexpr int kPanelRows = 12, kPanelVecs = 2;                  // 24 of them

inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

struct Half {
  uint16_t bits;
};

struct Vec {
  __m512 x;

  static Vec all(float value) { return {_mm512_set1_ps(value)}; }
  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
  static Vec widen(__m256i bf16) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16))}; }
  static Vec load(const uint16_t* bf16) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16))); }
  static Vec load(const uint16_t* bf16, int64_t n) { return widen(_mm256_maskz_loadu_epi16(first_lanes(n), bf16)); }
  static Vec load(const Half* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
  static Vec load(const Half* p, int64_t n) { return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))}; }
  void store(float* p) const { _mm512_storeu_ps(p, x); }
  void store(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, first_lanes(n), x); }
  __m256i narrow() const {
#if defined(__AVX512BF16__)
    return __builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(x));
#else
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i kept = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
#endif
  }
  void store(uint16_t* bf16) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(bf16), narrow()); }
  void store(uint16_t* bf16, int64_t n) const { _mm256_mask_storeu_epi16(bf16, first_lanes(n), narrow()); }

  friend Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.x, b.x)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.x, b.x)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.x, b.x)}; }
  friend Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.x, b.x)}; }
};

inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.x, b.x)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.x, b.x)}; }
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec scale_by_power_of_two(Vec a, Vec n) { return {_mm512_scalef_ps(a.x, n.x)}; }

/// 128-bit lanes 0+2 and 1+3 of a, then of b: lanes i and i + 8 added, two vectors in one register.
inline __m512 fold_pair(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
inline void sum_four(Vec a, Vec b, Vec c, Vec d, float* out) {
  const __m512 ab = fold_pair(a.x, b.x), cd = fold_pair(c.x, d.x);
  // Each 128-bit lane becomes one vector's four partial sums (lanes i and i + 4 added).
  __m512 four = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  four = _mm512_add_ps(four, _mm512_shuffle_ps(four, four, 0x4e));
  four = _mm512_add_ps(four, _mm512_shuffle_ps(four, four, 0xb1));
  _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, four)));
}
inline float sum(Vec a) {
  __m512 x = _mm512_add_ps(a.x, _mm512_shuffle_f32x4(a.x, a.x, 0x4e));
  x = _mm512_add_ps(x, _mm512_shuffle_f32x4(x, x, 0xb1));
  x = _mm512_add_ps(x, _mm512_shuffle_ps(x, x, 0x4e));
  x = _mm512_add_ps(x, _mm512_shuffle_ps(x, x, 0xb1));
  return _mm512_cvtss_f32(x);
}
inline void deinterleave(Vec a, Vec b, Vec& even, Vec& odd) {
  const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  even = {_mm512_permutex2var_ps(a.x, evens, b.x)};
  odd = {_mm512_permutex2var_ps(a.x, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), b.x)};
}
inline float largest(Vec a) { return _mm512_reduce_max_ps(a.x); }
inline Vec max_below(Vec limit, Vec a, Vec b) {
  return {_mm512_mask_max_ps(a.x, _mm512_cmp_ps_mask(b.x, limit.x, _CMP_LT_OQ), a.x, b.x)};
}
inline uint32_t equal_lanes(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.x, b.x, _CMP_EQ_OQ); }

/// Sixteen pairs of bf16.
struct Pairs {
#ifdef __AVX512BF16__
  __m512bh x;
  static Pairs from(__m512i bits) { return {reinterpret_cast<__m512bh>(bits)}; }
#else
  Vec even, odd;
  static Pairs from(__m512i bits) {
    return {{_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16))},
            {_mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(-65536)))}};
  }
#endif
  static Pairs load(const uint16_t* p) { return from(_mm512_loadu_si512(p)); }
  static Pairs all(const uint16_t* p) { return from(_mm512_set1_epi32(*reinterpret_cast<const TwoNumbers*>(p))); }

 private:
  using TwoNumbers __attribute__((may_alias, aligned(2))) = int32_t;
};
inline Vec dot(Pairs a, Pairs b, Vec c) {
#ifdef __AVX512BF16__
  return {_mm512_dpbf16_ps(c.x, a.x, b.x)};
#else
  return fma(a.odd, b.odd, fma(a.even, b.even, c));
#endif
}
inline void interleave(const uint16_t* even, const uint16_t* odd, uint16_t* out) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(even)));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(odd)));
  _mm512_storeu_si512(out, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}
inline void interleave(const uint16_t* even, const uint16_t* odd, int64_t n, uint16_t* out) {
  const __mmask16 lanes = first_lanes(n);
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, even));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, odd));
  _mm512_storeu_si512(out, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

inline void transpose_four(const void* const* rows, void* out, int64_t stride) {
  const auto load = [&](int i) { return _mm_loadu_ps(static_cast<const float*>(rows[i])); };
  const auto store = [&](int i, __m128 cells) {
    _mm_storeu_ps(reinterpret_cast<float*>(static_cast<char*>(out) + i * stride), cells);
  };
  const __m128 a = load(0), b = load(1), c = load(2), d = load(3);
  const __m128 ab = _mm_unpacklo_ps(a, b), cd = _mm_unpacklo_ps(c, d);
  store(0, _mm_movelh_ps(ab, cd)), store(1, _mm_movehl_ps(cd, ab));
  const __m128 ab_high = _mm_unpackhi_ps(a, b), cd_high = _mm_unpackhi_ps(c, d);
  store(2, _mm_movelh_ps(ab_high, cd_high)), store(3, _mm_movehl_ps(cd_high, ab_high));
}

inline Vec load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store_f16(Vec a, uint16_t* p) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.x, kNearest));
}
inline Vec load_i8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline float from_f16(uint16_t bits) { return _cvtsh_ss(bits); }

}  // namespace
}  // namespace dsmoe::kernels
