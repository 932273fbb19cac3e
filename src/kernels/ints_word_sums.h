// Dot products of bytes where the machine sums two of them in 16 bits, over the Ints, Dots, pairs, add_words and
// add_pairs of AVX2 and of AVX-512 without VNNI; the contract is in ints_scalar.h.
#pragma once

namespace dsmoe::kernels {
namespace {

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

template <int Bits>
inline Ints dot(Ints weights, Ints x) {
  static_assert(Bits < 8);
  return add_pairs(pairs(weights, x));
}
template <int Bits>
inline Ints dot(Ints weights, Ints x, Ints more_weights, Ints more_x) {
  if constexpr (Bits == 8) {
    const Ints nibble = Ints::all(0x0f0f0f0f);
    return dot<4>(weights & nibble, x, more_weights & nibble, more_x) +
           left<4>(dot<4>(right<4>(weights) & nibble, x, right<4>(more_weights) & nibble, more_x));
  } else {
    return add_pairs(add_words(pairs(weights, x), pairs(more_weights, more_x)));
  }
}

}  // namespace
}  // namespace dsmoe::kernels
