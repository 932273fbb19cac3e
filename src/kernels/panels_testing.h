// Memory of either type of number, and how far apart two of them may round.
#pragma once

#include <array>
#include <cstring>

#include "kernels/panel_product.h"
#include "kernels/product.h"
#include "kernels/testing.h"

namespace dsmoe::kernels::testing {

inline constexpr std::array kNumbers = {Number::kF32, Number::kBf16};

/// Numbers of a type that remember it.
struct Numbers {
  Number type = Number::kF32;
  std::vector<float> f32;
  std::vector<uint16_t> bf16;

  Numbers() = default;
  Numbers(Number t, const std::vector<float>& values) : type(t) {
    if (t == Number::kF32) {
      f32 = values;
    } else {
      for (const float value : values) bf16.push_back(to_bf16(value));
    }
  }
  Numbers(Number t, int64_t count, float value) : Numbers(t, std::vector<float>(static_cast<size_t>(count), value)) {}
  void* data() { return type == Number::kF32 ? static_cast<void*>(f32.data()) : bf16.data(); }
  std::vector<float> values() const {
    std::vector<float> all = f32;
    for (const uint16_t bits : bf16) all.push_back(from_bf16(bits));
    return all;
  }
  bool operator==(const Numbers& other) const {
    return bf16 == other.bf16 && f32.size() == other.f32.size() &&
           (f32.empty() || std::memcmp(f32.data(), other.f32.data(), f32.size() * sizeof(float)) == 0);
  }
};

/// Of the value kept in a type: two numbers on either side of a border round a whole step apart.
inline double kept(Number type, double value) { return (type == Number::kF32 ? 2 * kRound : 0x1p-7) * std::abs(value); }

}  // namespace dsmoe::kernels::testing
