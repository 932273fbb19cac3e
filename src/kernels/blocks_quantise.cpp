// Making blocks: a searched scale for each group of values, rounded to what the format stores, then the integers that
// are nearest under the stored scale.
#include <cmath>
#include <cstring>

#include "base/bits.h"
#include "base/error.h"
#include "kernels/blocks.h"
#include "kernels/blocks_fit.h"

namespace dsmoe::kernels {
namespace {

// Ranges and steps of the searches.
constexpr Search kSymmetric4{6.0f, 9.0f, 0.25f};
constexpr Search kSymmetric5{14.0f, 17.0f, 0.25f};
constexpr Search kSymmetric6{29.0f, 33.0f, 0.5f};
constexpr Search kAffine4{13.0f, 17.0f, 0.25f};
constexpr Search kAffine5{29.0f, 32.5f, 0.25f};

constexpr float kLargestHalf = 65504.0f;

struct Half {
  uint16_t bits;
  float value;
};
Half half(float x) {
  const uint16_t bits = base::f32_to_f16(clamped(x, -kLargestHalf, kLargestHalf));
  return {bits, base::f16_to_f32(bits)};
}

float inverse_of(float step) { return std::abs(step) > 0 ? 1 / step : 0; }

// round((x - offset) / step) within low .. high; comparisons first, since a huge quotient has no integer.
int integer_of(float x, float inverse, float offset, int low, int high) {
  const float q = clamped((x - offset) * inverse, static_cast<float>(low), static_cast<float>(high));
  return static_cast<int>(std::lrintf(q));
}

void pack(const int* q, uint8_t* nibbles, uint8_t* high) {
  for (int j = 0; j < 16; ++j) nibbles[j] = static_cast<uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
  if (high == nullptr) return;
  std::memset(high, 0, 4);
  for (int i = 0; i < 32; ++i) high[i / 8] = static_cast<uint8_t>(high[i / 8] | (q[i] >> 4) << (i % 8));
}

void symmetric(const float* x, int middle, Search search, uint16_t& d, uint8_t* nibbles, uint8_t* high) {
  const Half step = half(fit_scale<32>(x, static_cast<float>(-middle), static_cast<float>(middle - 1), search));
  d = step.bits;
  int q[32];
  for (int i = 0; i < 32; ++i) q[i] = integer_of(x[i], inverse_of(step.value), 0, -middle, middle - 1) + middle;
  pack(q, nibbles, high);
}

void affine(const float* x, int top, Search search, uint16_t& d, uint16_t& m, uint8_t* nibbles, uint8_t* high) {
  const AffineFit fit = fit_affine<32>(x, static_cast<float>(top), false, search);
  const Half step = half(fit.step), offset = half(fit.offset);
  d = step.bits;
  m = offset.bits;
  int q[32];
  for (int i = 0; i < 32; ++i) q[i] = integer_of(x[i], inverse_of(step.value), offset.value, 0, top);
  pack(q, nibbles, high);
}

// The scale is that of the largest value: with 255 integers a search gains nothing.
void make(const float* x, BlockQ8_0& block) {
  const Half step = half(std::abs(extreme_of<32>(x)) / 127);
  block.d = step.bits;
  for (int i = 0; i < 32; ++i) {
    block.q[i] = static_cast<int8_t>(integer_of(x[i], inverse_of(step.value), 0, -127, 127));
  }
}

void make(const float* x, BlockQ4_0& b) { symmetric(x, 8, kSymmetric4, b.d, b.q, nullptr); }
void make(const float* x, BlockQ4_1& b) { affine(x, 15, kAffine4, b.d, b.m, b.q, nullptr); }
void make(const float* x, BlockQ5_0& b) { symmetric(x, 16, kSymmetric5, b.d, b.q, b.high); }
void make(const float* x, BlockQ5_1& b) { affine(x, 31, kAffine5, b.d, b.m, b.q, b.high); }

void pack_scale(uint8_t* scales, int j, int scale, int minimum) {
  if (j < 4) {
    scales[j] = static_cast<uint8_t>(scales[j] | scale);
    scales[j + 4] = static_cast<uint8_t>(scales[j + 4] | minimum);
  } else {
    scales[j + 4] = static_cast<uint8_t>((scale & 15) | (minimum & 15) << 4);
    scales[j - 4] = static_cast<uint8_t>(scales[j - 4] | (scale >> 4) << 6);
    scales[j] = static_cast<uint8_t>(scales[j] | (minimum >> 4) << 6);
  }
}

struct SuperScale {
  int scale = 0, minimum = 0;
};

// The pair of six-bit integers near a fit that leaves the least error once d and dmin are what they are.
SuperScale nearest_pair(const float* x, AffineFit fit, float d, float dmin, float top) {
  const int scale = integer_of(fit.step, inverse_of(d), 0, 0, 63);
  const int minimum = integer_of(-fit.offset, inverse_of(dmin), 0, 0, 63);
  SuperScale best{scale, minimum};
  float least = INFINITY;
  for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, 63); ++s) {
    for (int m = std::max(minimum - 1, 0); m <= std::min(minimum + 1, 63); ++m) {
      const float error = squared_error<32>(x, d * static_cast<float>(s), -dmin * static_cast<float>(m), 0, top);
      if (error < least) {
        least = error;
        best = {s, m};
      }
    }
  }
  return best;
}

// Q4_K and Q5_K: integers into q[256], scales into the block.
template <class Block>
void make_super(const float* x, int top, Search search, Block& block, int* q) {
  AffineFit fits[kSuperParts];
  float largest_step = 0, largest_minimum = 0;
  for (int j = 0; j < kSuperParts; ++j) {
    fits[j] = fit_affine<32>(x + 32 * j, static_cast<float>(top), true, search);
    largest_step = std::max(largest_step, fits[j].step);
    largest_minimum = std::max(largest_minimum, -fits[j].offset);
  }
  const Half d = half(largest_step / 63), dmin = half(largest_minimum / 63);
  block.d = d.bits;
  block.dmin = dmin.bits;
  std::memset(block.scales, 0, sizeof block.scales);
  for (int j = 0; j < kSuperParts; ++j) {
    const float* part = x + 32 * j;
    const SuperScale pair = nearest_pair(part, fits[j], d.value, dmin.value, static_cast<float>(top));
    pack_scale(block.scales, j, pair.scale, pair.minimum);
    const float step = d.value * static_cast<float>(pair.scale),
                minimum = dmin.value * static_cast<float>(pair.minimum);
    for (int l = 0; l < 32; ++l) q[32 * j + l] = integer_of(part[l], inverse_of(step), -minimum, 0, top);
  }
}

void pack_super(const int* q, uint8_t* nibbles) {
  for (int j = 0; j < kSuperParts; j += 2) {
    for (int l = 0; l < 32; ++l) {
      nibbles[16 * j + l] = static_cast<uint8_t>((q[32 * j + l] & 15) | (q[32 * j + 32 + l] & 15) << 4);
    }
  }
}

void make(const float* x, BlockQ4K& block) {
  int q[kSuperValues];
  make_super(x, 15, kAffine4, block, q);
  pack_super(q, block.q);
}

void make(const float* x, BlockQ5K& block) {
  int q[kSuperValues];
  make_super(x, 31, kAffine5, block, q);
  pack_super(q, block.q);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < kSuperParts; ++j) bits |= (q[32 * j + l] >> 4) << j;
    block.high[l] = static_cast<uint8_t>(bits);
  }
}

// The eight-bit scale near `fit` that leaves the least error.
int nearest_scale(const float* x, float fit, float d) {
  const int scale = integer_of(fit, inverse_of(d), 0, -128, 127);
  int best = scale;
  float least = INFINITY;
  for (int s = std::max(scale - 1, -128); s <= std::min(scale + 1, 127); ++s) {
    const float error = squared_error<16>(x, d * static_cast<float>(s), 0, -32, 31);
    if (error < least) {
      least = error;
      best = s;
    }
  }
  return best;
}

void make(const float* x, BlockQ6K& block) {
  float fits[16];
  for (int j = 0; j < 16; ++j) fits[j] = fit_scale<16>(x + 16 * j, -32, 31, kSymmetric6);
  const Half d = half(extreme_of<16>(fits) / -128);
  block.d = d.bits;
  int q[kSuperValues];
  for (int j = 0; j < 16; ++j) {
    const int scale = nearest_scale(x + 16 * j, fits[j], d.value);
    block.s[j] = static_cast<int8_t>(scale);
    const float inverse = inverse_of(d.value * static_cast<float>(scale));
    for (int i = 16 * j; i < 16 * j + 16; ++i) q[i] = integer_of(x[i], inverse, 0, -32, 31) + 32;
  }
  for (int half_at = 0; half_at < 2; ++half_at) {
    const int* from = q + 128 * half_at;
    for (int l = 0; l < 32; ++l) {
      uint8_t* nibbles = block.q + 64 * half_at + l;
      nibbles[0] = static_cast<uint8_t>((from[l] & 15) | (from[l + 64] & 15) << 4);
      nibbles[32] = static_cast<uint8_t>((from[l + 32] & 15) | (from[l + 96] & 15) << 4);
      block.high[32 * half_at + l] =
          static_cast<uint8_t>(from[l] >> 4 | from[l + 32] >> 4 << 2 | from[l + 64] >> 4 << 4 | from[l + 96] >> 4 << 6);
    }
  }
}

template <class Block>
void make_all(const float* x, int64_t count, int64_t values, void* blocks) {
  auto* block = static_cast<Block*>(blocks);
  for (int64_t i = 0; i < count; ++i) make(x + i * values, block[i]);
}

}  // namespace

void quantise_ref(BlockType type, const float* x, int64_t n, void* blocks) {
  const int64_t values = block_values(type), count = n / values;
  DSMOE_CHECK(n >= 0 && n % values == 0, "whole blocks");
  switch (type) {
    case BlockType::kQ8_0:
      return make_all<BlockQ8_0>(x, count, values, blocks);
    case BlockType::kQ4_0:
      return make_all<BlockQ4_0>(x, count, values, blocks);
    case BlockType::kQ4_1:
      return make_all<BlockQ4_1>(x, count, values, blocks);
    case BlockType::kQ5_0:
      return make_all<BlockQ5_0>(x, count, values, blocks);
    case BlockType::kQ5_1:
      return make_all<BlockQ5_1>(x, count, values, blocks);
    case BlockType::kQ4K:
      return make_all<BlockQ4K>(x, count, values, blocks);
    case BlockType::kQ5K:
      return make_all<BlockQ5K>(x, count, values, blocks);
    case BlockType::kQ6K:
      return make_all<BlockQ6K>(x, count, values, blocks);
  }
}

}  // namespace dsmoe::kernels
