// Sixteen 32-bit integers in plain C++, and the contract of Ints and Dots for all instruction sets.
//
// A lane belongs to one weight row: sixteen rows (lane_rows.h), or eight rows twice, are multiplied side by side, so an
// output's integers and floats are its lanes' alone and come in the same order everywhere. All sets give the same bits:
// integers are exact, and the floats between them round after each multiplication and each addition.
#pragma once

#include <cstdint>

#include "kernels/lane_rows.h"
#include "kernels/vec_scalar.h"

namespace dsmoe::kernels {
namespace {

/// Tokens up to which the weights of a format whose stored blocks have so many parts are multiplied as they are
/// unpacked.
constexpr int few_tokens(int) { return 0; }
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
  /// All lanes the four bytes at p.
  static Ints repeat(const void* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof(x));
    return all(x);
  }

  /// The first eight lanes the four bytes at p, the others those at q.
  static Ints two(const void* p, const void* q) {
    const Ints a = repeat(p), b = repeat(q);
    return map([&](int i) { return i < 8 ? a.lane[i] : b.lane[i]; });
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

/// The same of floats; and lanes 8 to 15 in the place of the first eight (what is in the others does not matter).
inline Vec two_floats(const float* p, const float* q) {
  return Vec::map([&](int i) { return i < 8 ? *p : *q; });
}
inline Vec upper_lanes(const Vec& a) {
  return Vec::map([&](int i) { return a.lane[i % 8 + 8]; });
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

}  // namespace
}  // namespace dsmoe::kernels
