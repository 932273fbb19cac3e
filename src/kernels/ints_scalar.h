// Sixteen 32-bit integers in plain C++, and the contract of Ints and Dots for all instruction sets.
//
// A lane belongs to one weight row, sixteen of them (lane_rows.h); or, for one or two tokens (body_gemv.h), a
// 128-bit lane belongs to one part of four rows. An output's integers and floats come in the same order
// everywhere. All sets give the same bits: integers are exact, and the floats between them round after each
// multiplication and each addition.
#pragma once

#include <cstdint>

#include "kernels/lane_rows.h"
#include "kernels/vec_scalar.h"

namespace dsmoe::kernels {
namespace {

/// Tokens up to which weights are multiplied as they are unpacked, and up to which of these by 128-bit lanes, at most
/// 2; for formats of so many parts a block and bits.
constexpr int few_tokens(int) { return 2; }
constexpr int gemv_tokens(int, int) { return 2; }
/// How many sets (body_unpack.h) a step of so many tokens takes in formats of one part a block.
constexpr int gemv_sets(int /*tokens*/, int /*bits*/) { return 2; }
constexpr int kSlabGroups = 1;                ///< groups of 16 rows that one product tile holds
constexpr int most_tokens(int) { return 2; }  ///< tokens of a tile for weights of so many bits

struct Ints {
  int32_t lane[kLanes];

  static Ints all(int32_t x) {
    Ints v;
    for (int32_t& lane : v.lane) lane = x;
    return v;
  }
  static Ints load(const void* p) {
    Ints v;
    __builtin_memcpy(v.lane, p, sizeof(v.lane));
    return v;
  }
  void store(void* p) const { __builtin_memcpy(p, lane, sizeof(lane)); }
  /// All lanes the four bytes at p; or the first eight those at p + 4 A, and the others those at p + 4 B.
  static Ints repeat(const void* p) { return halves<0, 0>(p); }
  template <int A, int B>
  static Ints halves(const void* p) {
    int32_t a, b;
    __builtin_memcpy(&a, static_cast<const char*>(p) + 4 * A, sizeof(a));
    __builtin_memcpy(&b, static_cast<const char*>(p) + 4 * B, sizeof(b));
    return map([&](int i) { return i < 8 ? a : b; });
  }

  /// 128-bit lane i is the i-th of these; or lane i of each 128-bit lane.
  static Ints by_lane128(int a, int b, int c, int d) {
    const int values[] = {a, b, c, d};
    return map([&](int i) { return values[i / 4]; });
  }
  static Ints by_lane(int a, int b, int c, int d) {
    const int values[] = {a, b, c, d};
    return map([&](int i) { return values[i % 4]; });
  }
  /// Sixteen bytes at p + At, and B, C and D bytes behind that; or at p and multiples of a stride behind it.
  template <int At, int B, int C, int D>
  static Ints lanes128(const void* p) {
    Ints v;
    const int at[] = {At, At + B, At + C, At + D};
    for (int i = 0; i < 4; ++i) __builtin_memcpy(v.lane + 4 * i, static_cast<const char*>(p) + at[i], 16);
    return v;
  }
  static Ints lanes128(const void* p, int64_t stride) {
    Ints v;
    for (int i = 0; i < 4; ++i) __builtin_memcpy(v.lane + 4 * i, static_cast<const char*>(p) + i * stride, 16);
    return v;
  }

  template <class F>
  static Ints map(F f) {
    Ints v;
    for (int i = 0; i < kLanes; ++i) v.lane[i] = static_cast<int32_t>(f(i));
    return v;
  }
  uint32_t bits(int i) const { return static_cast<uint32_t>(lane[i]); }
  friend Ints operator&(const Ints& a, const Ints& b) {
    return map([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  friend Ints operator|(const Ints& a, const Ints& b) {
    return map([&](int i) { return a.lane[i] | b.lane[i]; });
  }
  friend Ints operator^(const Ints& a, const Ints& b) {
    return map([&](int i) { return a.lane[i] ^ b.lane[i]; });
  }
  friend Ints operator+(const Ints& a, const Ints& b) {
    return map([&](int i) { return a.bits(i) + b.bits(i); });
  }
  friend Ints operator-(const Ints& a, const Ints& b) {
    return map([&](int i) { return a.bits(i) - b.bits(i); });
  }
};

/// Zeros shifted in; signed_right copies the sign.
template <int N>
inline Ints left(const Ints& a) {
  return Ints::map([&](int i) { return a.bits(i) << N; });
}
template <int N>
inline Ints right(const Ints& a) {
  return Ints::map([&](int i) { return a.bits(i) >> N; });
}
template <int N>
inline Ints signed_right(const Ints& a) {
  return Ints::map([&](int i) { return a.lane[i] >> N; });
}

inline Vec to_floats(const Ints& a) {
  return Vec::map([&](int i) { return static_cast<float>(a.lane[i]); });
}
/// To the nearest integers, halves to even, for |x| < 2^22.
inline Ints to_ints(const Vec& a) {
  return Ints::map([&](int i) {
    return __builtin_bit_cast(uint32_t, a.lane[i] + kIntegers) - __builtin_bit_cast(uint32_t, kIntegers);
  });
}
inline int32_t sum(const Ints& a) {
  int32_t total = 0;
  for (int i = 0; i < kLanes; ++i) total += a.lane[i];
  return total;
}
/// The low byte of each lane.
inline void store_bytes(const Ints& a, int8_t* p) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int8_t>(a.lane[i]);
}
/// The low half of each lane as a half float.
inline Vec halves_to_floats(const Ints& a) {
  return Vec::map([&](int i) { return widen(Half{static_cast<uint16_t>(a.bits(i))}); });
}

inline Vec as_floats(const Ints& a) {
  return Vec::map([&](int i) { return __builtin_bit_cast(float, a.lane[i]); });
}
/// Each lane by its own number of bits, below 32.
inline Ints right_by(const Ints& a, const Ints& n) {
  return Ints::map([&](int i) { return a.bits(i) >> n.lane[i]; });
}
/// To the left; what leaves a lane comes in again on its right.
inline Ints rotated_by(const Ints& a, const Ints& n) {
  return Ints::map([&](int i) { return a.bits(i) << n.lane[i] | a.bits(i) >> (32 - n.lane[i]) % 32; });
}

/// 128-bit lanes A, B, C and D.
template <int A, int B, int C, int D>
inline Ints pick(const Ints& a) {
  constexpr int kFrom[] = {A, B, C, D};
  return Ints::map([&](int i) { return a.lane[4 * kFrom[i / 4] + i % 4]; });
}
/// Lanes A, B, C and D of each 128-bit lane.
template <int A, int B, int C, int D>
inline Ints lanes(const Ints& a) {
  constexpr int kFrom[] = {A, B, C, D};
  return Ints::map([&](int i) { return a.lane[i / 4 * 4 + kFrom[i % 4]]; });
}
/// The sum of each 128-bit lane: of a in its first lane, of b in its second, ...
inline Ints sum_lanes128(const Ints& a, const Ints& b, const Ints& c, const Ints& d) {
  const Ints* const of[] = {&a, &b, &c, &d};
  return Ints::map([&](int i) {
    const int32_t* lane128 = of[i % 4]->lane + i / 4 * 4;
    return lane128[0] + lane128[1] + lane128[2] + lane128[3];
  });
}
/// Four times 32 bytes: a 128-bit lane for the first sixteen of each, and for the second.
inline void sixteens(const void* p, Ints& first, Ints& second) {
  first = Ints::lanes128<0, 32, 64, 96>(p);
  second = Ints::lanes128<16, 32, 64, 96>(p);
}
/// Half float `At` (0 or 1) of block q of row r, in lane r of 128-bit lane q.
template <int Stride, int At>
inline Vec block_halves(const uint8_t* p, int64_t row_stride) {
  return Vec::map([&](int i) {
    Half half;
    __builtin_memcpy(&half.bits, p + i % 4 * row_stride + i / 4 * Stride + 2 * At, sizeof(half.bits));
    return widen(half);
  });
}

/// The four bytes from byte At on of block q, in all lanes of 128-bit lane q.
template <int Stride, int At>
inline Ints block_dwords(const uint8_t* p) {
  return lanes<0, 0, 0, 0>(Ints::lanes128<At, Stride, 2 * Stride, 3 * Stride>(p));
}

/// Sums of eight rows.
struct Eight {
  float lane[8] = {};
  void store(float* p) const { __builtin_memcpy(p, lane, sizeof(lane)); }
  void store_four(float* p) const { __builtin_memcpy(p, lane, sizeof(lane) / 2); }
};
inline Eight operator+(Eight a, const Eight& b) {
  for (int r = 0; r < 8; ++r) a.lane[r] += b.lane[r];
  return a;
}
/// Of two vectors each 128-bit lane's eight lanes.
struct EightLanes128 {
  Vec a, b;
  EightLanes128(const Vec& first, const Vec& second) : a(first), b(second) {}
  template <int Lane128>
  Eight get() const {
    Eight x;
    __builtin_memcpy(x.lane, a.lane + 4 * Lane128, 16);
    __builtin_memcpy(x.lane + 4, b.lane + 4 * Lane128, 16);
    return x;
  }
};

/// Two parts of eight rows in one vector, a half of its lanes each, from vectors with a 128-bit lane for each of rows 0
/// to 3 (a) and 4 to 7 (b). This: 128-bit lane Odd of both, then 128-bit lane 2 + Odd.
template <int Odd>
inline Ints join(const Ints& a, const Ints& b) {
  return Ints::map([&](int i) { return (i / 4 % 2 == 0 ? a : b).lane[(i / 8 * 2 + Odd) * 4 + i % 4]; });
}
/// Lane A of each 128-bit lane, then lane B.
template <int A, int B>
inline Ints columns(const Ints& a, const Ints& b) {
  return Ints::map([&](int i) { return (i / 4 % 2 == 0 ? a : b).lane[i % 4 * 4 + (i < 8 ? A : B)]; });
}
/// Half float At (0 to 7) of each 128-bit lane, twice.
template <int At>
inline Vec half_columns(const Ints& a, const Ints& b) {
  const Ints column = columns<At / 2, At / 2>(a, b);
  return halves_to_floats(At % 2 == 0 ? column : right<16>(column));
}
/// One of the halves.
template <int Half>
inline Eight eight(const Vec& a) {
  Eight x;
  __builtin_memcpy(x.lane, a.lane + 8 * Half, sizeof(x.lane));
  return x;
}

/// Sixteen bytes of each row: lane r of column j is bytes 4 j ... of row r.
struct Columns {
  Ints column[4];
};
inline Columns load_columns(const LaneRows& rows) {
  Columns c;
  for (int r = 0; r < kLanes; ++r) {
    for (int j = 0; j < 4; ++j) __builtin_memcpy(&c.column[j].lane[r], rows.at(r) + 4 * j, 4);
  }
  return c;
}

/// Bit i of a lane, i < 4, as bit 4 of its byte i; other bits of the lane do not matter.
inline Ints spread_bits(const Ints& a) {
  return Ints::map([&](int i) { return ((a.bits(i) & 15u) * 0x02040810u) & 0x10101010u; });
}

/// A dot product of 32 unsigned bytes below 2^Bits and as many signed ones (-127 to 127), in eight steps of four a
/// lane. Exact.
template <int Bits>
struct Dots {
  Ints total = Ints::all(0);

  template <int Step>
  void add(const Ints& weights, const Ints& x) {
    total = Ints::map([&](int i) {
      int32_t sum = total.lane[i];
      for (int byte = 0; byte < 4; ++byte) {
        sum += static_cast<int32_t>(weights.bits(i) >> 8 * byte & 255u) *
               static_cast<int8_t>(static_cast<uint8_t>(x.bits(i) >> 8 * byte));
      }
      return sum;
    });
  }
  Ints sum() const { return total; }
};
/// Each lane's dot product of its four bytes and four others, likewise; and the sum of two such (of one, Bits < 8).
template <int Bits>
inline Ints dot(const Ints& weights, const Ints& x) {
  Dots<Bits> dots;
  dots.template add<0>(weights, x);
  return dots.sum();
}
template <int Bits>
inline Ints dot(const Ints& weights, const Ints& x, const Ints& more_weights, const Ints& more_x) {
  return dot<Bits>(weights, x) + dot<Bits>(more_weights, more_x);
}

}  // namespace
}  // namespace dsmoe::kernels
