#include "kernels/blocks.h"

#include "base/bits.h"
#include "base/error.h"

namespace dsmoe::kernels {
namespace {

using base::f16_to_f32;

void values_of(const BlockQ8_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.q[i]);
}

// The integers of the four formats that split 32 values into halves of 16; `high` is null for four bits.
void nibbles_of(const uint8_t* q, const uint8_t* high, int* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = q[j] & 15;
    out[j + 16] = q[j] >> 4;
  }
  if (high == nullptr) return;
  for (int i = 0; i < 32; ++i) out[i] |= ((high[i / 8] >> (i % 8)) & 1) << 4;
}

void symmetric(uint16_t scale, const uint8_t* q, const uint8_t* high, float* out) {
  int integers[32];
  nibbles_of(q, high, integers);
  const int middle = high == nullptr ? 8 : 16;
  const float d = f16_to_f32(scale);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(integers[i] - middle);
}

void affine(uint16_t scale, uint16_t minimum, const uint8_t* q, const uint8_t* high, float* out) {
  int integers[32];
  nibbles_of(q, high, integers);
  const float d = f16_to_f32(scale), m = f16_to_f32(minimum);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(integers[i]) + m;
}

void values_of(const BlockQ4_0& block, float* out) { symmetric(block.d, block.q, nullptr, out); }
void values_of(const BlockQ4_1& block, float* out) { affine(block.d, block.m, block.q, nullptr, out); }
void values_of(const BlockQ5_0& block, float* out) { symmetric(block.d, block.q, block.high, out); }
void values_of(const BlockQ5_1& block, float* out) { affine(block.d, block.m, block.q, block.high, out); }

// Q4_K and Q5_K; `high` is null for the former.
template <class Block>
void super_values(const Block& block, const uint8_t* high, float* out) {
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  for (int j = 0; j < kSuperParts; ++j) {
    int scale = 0, minimum = 0;
    unpack_scale(block.scales, j, scale, minimum);
    const float step = d * static_cast<float>(scale), offset = dmin * static_cast<float>(minimum);
    for (int l = 0; l < 32; ++l) {
      const uint8_t byte = block.q[32 * (j / 2) + l];
      int q = j % 2 == 0 ? byte & 15 : byte >> 4;
      if (high != nullptr) q |= ((high[l] >> j) & 1) << 4;
      out[32 * j + l] = step * static_cast<float>(q) - offset;
    }
  }
}

void values_of(const BlockQ4K& block, float* out) { super_values(block, nullptr, out); }
void values_of(const BlockQ5K& block, float* out) { super_values(block, block.high, out); }

void values_of(const BlockQ6K& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < kSuperValues; ++i) {
    const int half = i / 128, k = i % 128 / 32, l = i % 32;
    const uint8_t byte = block.q[64 * half + 32 * (k % 2) + l];
    const int low = k < 2 ? byte & 15 : byte >> 4;
    const int upper = (block.high[32 * half + l] >> (2 * k)) & 3;
    const auto scale = block.s[i / 16];
    out[i] = d * static_cast<float>(scale) * static_cast<float>((low | upper << 4) - 32);
  }
}

template <class Block>
void all_values(const void* blocks, int64_t count, int64_t values, float* out) {
  const auto* block = static_cast<const Block*>(blocks);
  for (int64_t i = 0; i < count; ++i) values_of(block[i], out + i * values);
}

}  // namespace

void dequantise_ref(BlockType type, const void* blocks, int64_t n, float* out) {
  const int64_t values = block_values(type), count = n / values;
  DSMOE_CHECK(n >= 0 && n % values == 0, "whole blocks");
  switch (type) {
    case BlockType::kQ8_0:
      return all_values<BlockQ8_0>(blocks, count, values, out);
    case BlockType::kQ4_0:
      return all_values<BlockQ4_0>(blocks, count, values, out);
    case BlockType::kQ4_1:
      return all_values<BlockQ4_1>(blocks, count, values, out);
    case BlockType::kQ5_0:
      return all_values<BlockQ5_0>(blocks, count, values, out);
    case BlockType::kQ5_1:
      return all_values<BlockQ5_1>(blocks, count, values, out);
    case BlockType::kQ4K:
      return all_values<BlockQ4K>(blocks, count, values, out);
    case BlockType::kQ5K:
      return all_values<BlockQ5K>(blocks, count, values, out);
    case BlockType::kQ6K:
      return all_values<BlockQ6K>(blocks, count, values, out);
  }
}

}  // namespace dsmoe::kernels
