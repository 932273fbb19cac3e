// A shuffle of 0..size-1 that can be asked for any one element: a Feistel network on the smallest even number of bits
// that holds `size`, walked until it lands inside (fewer than four steps on average).
#pragma once

#include <bit>
#include <cstdint>

#include "base/rng.h"

namespace dsmoe::corpus {

class KeyedPermutation {
 public:
  /// size >= 1; another key, another order.
  KeyedPermutation(uint64_t size, uint64_t key) : size_(size), key_(key) {
    half_ = static_cast<int>(std::bit_width(size - 1) + 1) / 2;
  }

  /// index < size; distinct indices give distinct values below size.
  uint64_t operator()(uint64_t index) const {
    if (half_ == 0) return index;
    do {
      index = round_trip(index);
    } while (index >= size_);
    return index;
  }

 private:
  uint64_t round_trip(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_) - 1;
    uint64_t left = value >> half_, right = value & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      const uint64_t next = left ^ (base::random_bits(key_, round, right) & mask);
      left = right;
      right = next;
    }
    return (left << half_) | right;
  }

  uint64_t size_, key_;
  int half_;
};

}  // namespace dsmoe::corpus
