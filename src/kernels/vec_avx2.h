// Sixteen floats as two AVX2 registers; the contract is in vec_scalar.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace dsmoe::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kRegisterBits = 256;
constexpr bool kDotProducts = false;
constexpr int kTileRows = 2, kTileTokens = 2, kMatvecRows = 4;  // 8 of the 16 registers hold sums
constexpr int kPanelRows = 6, kPanelVecs = 1;                   // 12 of them

/// Lanes below n on; n from 0 to 8.
inline __m256i first_lanes(int64_t n) {
  alignas(32) static const int32_t kWindow[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kWindow + 8 - n));
}
inline int64_t below_eight(int64_t n) { return n < 0 ? 0 : n > 8 ? 8 : n; }

struct Half {
  uint16_t bits;
};

struct Vec {
  __m256 low, high;

  static Vec all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Vec load(const float* p, int64_t n) {
    if (n <= 8) return {_mm256_maskload_ps(p, first_lanes(below_eight(n))), _mm256_setzero_ps()};
    return {_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, first_lanes(below_eight(n - 8)))};
  }
  static __m256 widen(__m128i bf16) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16)); }
  static Vec load(const uint16_t* bf16) {
    return {widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bf16))),
            widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bf16 + 8)))};
  }
  static Vec load(const uint16_t* bf16, int64_t n) {
    uint16_t padded[kLanes] = {};
    for (int64_t i = 0; i < n && i < kLanes; ++i) padded[i] = bf16[i];
    return load(padded);
  }
  static Vec load(const Half* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  static Vec load(const Half* p, int64_t n) {
    Half padded[kLanes] = {};
    for (int64_t i = 0; i < n && i < kLanes; ++i) padded[i] = p[i];
    return load(padded);
  }
  void store(float* p) const {
    _mm256_storeu_ps(p, low);
    _mm256_storeu_ps(p + 8, high);
  }
  void store(float* p, int64_t n) const {
    _mm256_maskstore_ps(p, first_lanes(below_eight(n)), low);
    if (n > 8) _mm256_maskstore_ps(p + 8, first_lanes(below_eight(n - 8)), high);
  }
  /// The upper halves after rounding to nearest even, as 32-bit lanes.
  static __m256i narrow(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  }
  void store(uint16_t* bf16) const {
    const __m256i packed = _mm256_packus_epi32(narrow(low), narrow(high));  // quarters come as 0 2 1 3
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bf16), _mm256_permute4x64_epi64(packed, 0xd8));
  }
  void store(uint16_t* bf16, int64_t n) const {
    uint16_t whole[kLanes];
    store(whole);
    for (int64_t i = 0; i < n && i < kLanes; ++i) bf16[i] = whole[i];
  }

  friend Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  friend Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
};

inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
inline Vec round(Vec a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
}
inline __m256 power_of_two(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
inline Vec scale_by_power_of_two(Vec a, Vec n) {
  return {_mm256_mul_ps(a.low, power_of_two(n.low)), _mm256_mul_ps(a.high, power_of_two(n.high))};
}
/// Lanes i, i + 8 and then i, i + 4 added: four partial sums.
inline __m128 fold_to_four(Vec a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}
inline void sum_four(Vec a, Vec b, Vec c, Vec d, float* out) {
  const __m128 w = fold_to_four(a), x = fold_to_four(b), y = fold_to_four(c), z = fold_to_four(d);
  const __m128 wx = _mm_add_ps(_mm_movelh_ps(w, x), _mm_movehl_ps(x, w));  // w0+w2 w1+w3 x0+x2 x1+x3
  const __m128 yz = _mm_add_ps(_mm_movelh_ps(y, z), _mm_movehl_ps(z, y));
  _mm_storeu_ps(out, _mm_add_ps(_mm_shuffle_ps(wx, yz, 0x88), _mm_shuffle_ps(wx, yz, 0xdd)));
}
inline float sum(Vec a) {
  const __m128 four = fold_to_four(a);
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline void deinterleave(Vec a, Vec b, Vec& even, Vec& odd) {
  // Fours of both registers, then their order mended.
  const auto half = [](__m256 low, __m256 high, auto pick) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pick(low, high)), 0b11'01'10'00));
  };
  const auto evens = [](__m256 x, __m256 y) { return _mm256_shuffle_ps(x, y, 0b10'00'10'00); };
  const auto odds = [](__m256 x, __m256 y) { return _mm256_shuffle_ps(x, y, 0b11'01'11'01); };
  even = {half(a.low, a.high, evens), half(b.low, b.high, evens)};
  odd = {half(a.low, a.high, odds), half(b.low, b.high, odds)};
}
inline float largest(Vec a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline __m256 max_below(__m256 limit, __m256 a, __m256 b) {
  return _mm256_max_ps(a, _mm256_blendv_ps(a, b, _mm256_cmp_ps(b, limit, _CMP_LT_OQ)));
}
inline Vec max_below(Vec limit, Vec a, Vec b) {
  return {max_below(limit.low, a.low, b.low), max_below(limit.high, a.high, b.high)};
}
inline uint32_t equal_lanes(Vec a, Vec b) {
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ));
  return static_cast<uint32_t>(low | high << 8);
}

/// Sixteen pairs of bf16, widened.
struct Pairs {
  Vec even, odd;
  static __m256 first(__m256i bits) { return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)); }
  static __m256 second(__m256i bits) { return _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32(-65536))); }
  static Pairs load(const uint16_t* p) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + kLanes));
    return {{first(low), first(high)}, {second(low), second(high)}};
  }
  static Pairs all(const uint16_t* p) {
    const __m256i two = _mm256_set1_epi32(*reinterpret_cast<const TwoNumbers*>(p));
    return {{first(two), first(two)}, {second(two), second(two)}};
  }

 private:
  using TwoNumbers __attribute__((may_alias, aligned(2))) = int32_t;
};
inline Vec dot(Pairs a, Pairs b, Vec c) { return fma(a.odd, b.odd, fma(a.even, b.even, c)); }
inline void interleave(const uint16_t* even, const uint16_t* odd, uint16_t* out) {
  for (int half = 0; half < 2; ++half) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(even + half * 8));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(odd + half * 8));
    auto* to = reinterpret_cast<__m128i*>(out + half * 16);
    _mm_storeu_si128(to, _mm_unpacklo_epi16(a, b));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(a, b));
  }
}
inline void interleave(const uint16_t* even, const uint16_t* odd, int64_t n, uint16_t* out) {
  uint16_t padded[2][kLanes] = {};
  for (int64_t i = 0; i < n && i < kLanes; ++i) padded[0][i] = even[i], padded[1][i] = odd[i];
  interleave(padded[0], padded[1], out);
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
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline void store_f16(Vec a, uint16_t* p) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.low, kNearest));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.high, kNearest));
}
inline Vec load_i8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline float from_f16(uint16_t bits) { return _cvtsh_ss(bits); }

}  // namespace
}  // namespace dsmoe::kernels
