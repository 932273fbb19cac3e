// Sixteen floats in plain C++, and the contract of Vec for all instruction sets.
//
// Every vec_*.h offers the same `Vec` of 16 floats (an AVX2 one is a pair of registers), so a kernel body
// is written once and the order of its sums is one and the same: lane i takes elements i, i + 16, ..., and lanes fold
// by halves (i with i + 8, then 4, 2, 1). Only rounding differs: here a product and a sum round twice, elsewhere once.
//
// Everything is in an anonymous namespace and nothing but <cstdint> is included: a function of the standard library
// inlined under -mavx512f could be the copy that the linker keeps for everyone.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {
namespace {

constexpr int kLanes = 16;
constexpr int kRegisterBits = 32;  ///< of this unit's widest arithmetic, for tests
constexpr bool kDotProducts = false;
// Register blocking of the product: weight rows by tokens.
constexpr int kTileRows = 4, kTileTokens = 1, kMatvecRows = 4;
// And of grouped products: rows by vectors of 16 columns.
constexpr int kPanelRows = 2, kPanelVecs = 1;

/// A half float as it is stored.
struct Half {
  uint16_t bits;
};
inline float widen(Half half) {
  const uint32_t sign = (half.bits & 0x8000u) << 16, rest = (half.bits & 0x7fffu) << 13;
  if (rest >= 0x0f800000u) return __builtin_bit_cast(float, sign | rest | 0x7f800000u);  // infinite or NaN
  // The other bias of the exponent, subnormals included; exact.
  const float size = __builtin_bit_cast(float, rest) * 0x1p112f;
  return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, size));
}

struct Vec {
  float lane[kLanes];

  static Vec all(float x) {
    Vec v;
    for (float& lane : v.lane) lane = x;
    return v;
  }
  static Vec zero() { return all(0.0f); }
  static Vec load(const float* p) {
    Vec v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = p[i];
    return v;
  }
  /// The first n of 16, zeros after; memory past them is not touched.
  static Vec load(const float* p, int64_t n) {
    Vec v = zero();
    for (int i = 0; i < kLanes && i < n; ++i) v.lane[i] = p[i];
    return v;
  }
  static float widen(uint16_t bf16) { return __builtin_bit_cast(float, static_cast<uint32_t>(bf16) << 16); }
  static Vec load(const uint16_t* bf16) {
    Vec v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = widen(bf16[i]);
    return v;
  }
  static Vec load(const uint16_t* bf16, int64_t n) {
    Vec v = zero();
    for (int i = 0; i < kLanes && i < n; ++i) v.lane[i] = widen(bf16[i]);
    return v;
  }
  static Vec load(const Half* p) {
    Vec v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = kernels::widen(p[i]);
    return v;
  }
  static Vec load(const Half* p, int64_t n) {
    Vec v = zero();
    for (int i = 0; i < kLanes && i < n; ++i) v.lane[i] = kernels::widen(p[i]);
    return v;
  }
  void store(float* p) const {
    for (int i = 0; i < kLanes; ++i) p[i] = lane[i];
  }
  void store(float* p, int64_t n) const {
    for (int i = 0; i < kLanes && i < n; ++i) p[i] = lane[i];
  }
  /// To nearest even; NaN stays one.
  static uint16_t narrow(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
  void store(uint16_t* bf16) const {
    for (int i = 0; i < kLanes; ++i) bf16[i] = narrow(lane[i]);
  }
  void store(uint16_t* bf16, int64_t n) const {
    for (int i = 0; i < kLanes && i < n; ++i) bf16[i] = narrow(lane[i]);
  }

  template <class F>
  static Vec map(F f) {
    Vec v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = f(i);
    return v;
  }
  friend Vec operator+(const Vec& a, const Vec& b) {
    return map([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  friend Vec operator-(const Vec& a, const Vec& b) {
    return map([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  friend Vec operator*(const Vec& a, const Vec& b) {
    return map([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  friend Vec operator/(const Vec& a, const Vec& b) {
    return map([&](int i) { return a.lane[i] / b.lane[i]; });
  }
};

/// a * b + c.
inline Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return Vec::map([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
/// As the machine's: the second operand where either is not a number.
inline Vec max(const Vec& a, const Vec& b) {
  return Vec::map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Vec min(const Vec& a, const Vec& b) {
  return Vec::map([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
/// 1.5 * 2^23: a float near it has no room for a fraction, and its lowest bits are the integer above it.
constexpr float kIntegers = 12582912.0f;
/// To the nearest integer, for |x| < 2^22.
inline Vec round(const Vec& a) {
  return Vec::map([&](int i) { return (a.lane[i] + kIntegers) - kIntegers; });
}
/// a * 2^n for integers n from -126 to 127. NaN may come in as n: its bits are taken, never its value.
inline Vec scale_by_power_of_two(const Vec& a, const Vec& n) {
  return Vec::map([&](int i) {
    const uint32_t integer =
        __builtin_bit_cast(uint32_t, n.lane[i] + kIntegers) - __builtin_bit_cast(uint32_t, kIntegers);
    return a.lane[i] * __builtin_bit_cast(float, (integer + 127) << 23);
  });
}
/// The fold described above.
inline float sum(const Vec& a) {
  float x[kLanes];
  a.store(x);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) x[i] += x[i + half];
  }
  return x[0];
}
inline void sum_four(const Vec& a, const Vec& b, const Vec& c, const Vec& d, float* out) {
  out[0] = sum(a), out[1] = sum(b), out[2] = sum(c), out[3] = sum(d);
}
/// Elements 0, 2, 4, ... of a and b one after the other, and the others.
inline void deinterleave(const Vec& a, const Vec& b, Vec& even, Vec& odd) {
  const auto of = [&](int i) { return i < kLanes ? a.lane[i] : b.lane[i - kLanes]; };
  even = Vec::map([&](int i) { return of(2 * i); });
  odd = Vec::map([&](int i) { return of(2 * i + 1); });
}
inline float largest(const Vec& a) {
  float x = a.lane[0];
  for (int i = 1; i < kLanes; ++i) x = a.lane[i] > x ? a.lane[i] : x;
  return x;
}
/// max(a, b) where b is below the limit, a elsewhere.
inline Vec max_below(const Vec& limit, const Vec& a, const Vec& b) {
  return max(a, Vec::map([&](int i) { return b.lane[i] < limit.lane[i] ? b.lane[i] : a.lane[i]; }));
}
/// Bit i: whether lane i is the same in both.
inline uint32_t equal_lanes(const Vec& a, const Vec& b) {
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(a.lane[i] == b.lane[i]) << i;
  return bits;
}

/// Sixteen pairs of bf16, as they lie in memory: even, odd, even, odd.
struct Pairs {
  Vec even, odd;
  static Pairs load(const uint16_t* p) {
    return {Vec::map([&](int i) { return Vec::widen(p[2 * i]); }),
            Vec::map([&](int i) { return Vec::widen(p[2 * i + 1]); })};
  }
  /// One pair in all places.
  static Pairs all(const uint16_t* p) { return {Vec::all(Vec::widen(p[0])), Vec::all(Vec::widen(p[1]))}; }
};
/// c + a.even * b.even + a.odd * b.odd, in an order and with the roundings of the instruction set.
inline Vec dot(const Pairs& a, const Pairs& b, const Vec& c) { return fma(a.odd, b.odd, fma(a.even, b.even, c)); }
/// out[2 i] = even[i] and out[2 i + 1] = odd[i] for i < n, and zeros up to sixteen pairs.
inline void interleave(const uint16_t* even, const uint16_t* odd, int64_t n, uint16_t* out) {
  for (int i = 0; i < kLanes; ++i) {
    out[2 * i] = i < n ? even[i] : uint16_t{0};
    out[2 * i + 1] = i < n ? odd[i] : uint16_t{0};
  }
}
inline void interleave(const uint16_t* even, const uint16_t* odd, uint16_t* out) { interleave(even, odd, kLanes, out); }
/// Four rows of four 32-bit cells each: cell j of the rows goes side by side to out + j * stride bytes.
inline void transpose_four(const void* const* rows, void* out, int64_t stride) {
  uint32_t cells[4][4];
  for (int row = 0; row < 4; ++row) {
    uint32_t four[4];
    __builtin_memcpy(four, rows[row], sizeof four);
    for (int j = 0; j < 4; ++j) cells[j][row] = four[j];
  }
  for (int j = 0; j < 4; ++j) __builtin_memcpy(static_cast<char*>(out) + j * stride, cells[j], sizeof cells[j]);
}

/// Sixteen stored numbers, widened exactly; and a vector rounded to float16, to nearest even.
inline float from_f16(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16, rest = (bits & 0x7fffu) << 13;
  if (rest >= 0x0f800000u) return __builtin_bit_cast(float, sign | rest | 0x7f800000u);  // infinite or NaN
  const float size = __builtin_bit_cast(float, rest) * 0x1p112f;  // the exponent's other bias, subnormals included
  return sign ? -size : size;
}
inline uint16_t to_f16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x), rest = bits & 0x7fffffffu;
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  uint32_t size;
  if (rest > 0x7f800000u) {
    size = 0x7e00u | (rest >> 13 & 0x3ffu);  // a quiet NaN keeps its payload
  } else if (rest >= 0x477ff000u) {          // 65520 and more
    size = 0x7c00u;
  } else if (rest < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, which is 0.5's last place
    size = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, rest) + 0.5f) - 0x3f000000u;
  } else {
    size = (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | size);
}
inline Vec load_f16(const uint16_t* p) {
  return Vec::map([&](int i) { return from_f16(p[i]); });
}
inline void store_f16(const Vec& a, uint16_t* p) {
  for (int i = 0; i < kLanes; ++i) p[i] = to_f16(a.lane[i]);
}
inline Vec load_i8(const int8_t* p) {
  return Vec::map([&](int i) { return static_cast<float>(p[i]); });
}

}  // namespace
}  // namespace dsmoe::kernels
