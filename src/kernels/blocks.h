// Block formats of weights: small groups of values that share scales, with GGUF's byte layouts.
//
// A row is a sequence of whole blocks, so a row's width is a multiple of the block's. Scales are IEEE half floats,
// everything is little-endian, and blocks lie at even addresses. In the pictures x[i] is value i of a block.
//
// Here are the layouts, what they mean (dequantise_ref) and one way to make them (quantise_ref). Units built for an
// instruction set read this header, so it includes nothing but <cstdint>.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

enum class BlockType : uint8_t { kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4K, kQ5K, kQ6K };
inline constexpr int kBlockTypes = 8;

inline constexpr int kBlockValues = 32;   ///< of the types with one scale a block
inline constexpr int kSuperValues = 256;  ///< of the K types, whose sub-blocks have scales of a few bits
inline constexpr int kSuperParts = 8;     ///< sub-blocks of 32 in Q4_K and Q5_K

/// x[i] = d q[i].
struct BlockQ8_0 {
  uint16_t d;
  int8_t q[32];
};

/// x[i] = d (q[i] - 8); byte j holds q[j] in its low and q[j + 16] in its high half.
struct BlockQ4_0 {
  uint16_t d;
  uint8_t q[16];
};

/// x[i] = d q[i] + m; halves as in Q4_0.
struct BlockQ4_1 {
  uint16_t d, m;
  uint8_t q[16];
};

/// x[i] = d (q[i] - 16); low four bits as in Q4_0, bit i of `high` (32 bits, little-endian) is the fifth of q[i].
struct BlockQ5_0 {
  uint16_t d;
  uint8_t high[4];
  uint8_t q[16];
};

/// x[i] = d q[i] + m; bits as in Q5_0.
struct BlockQ5_1 {
  uint16_t d, m;
  uint8_t high[4];
  uint8_t q[16];
};

/// x[i] = d s[i / 32] q[i] - dmin m[i / 32]. Each 64 values share 32 bytes: the first 32 in the low halves, the others
/// in the high ones. Scales s and minima m have six bits: `scales` holds s[j] and m[j] in the low six bits of bytes j
/// and j + 4 for j < 4; for j >= 4 byte j + 4 holds their low four bits (s low half, m high half), and their upper two
/// are the top bits of bytes j - 4 (s) and j (m).
struct BlockQ4K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t q[128];
};

/// As Q4_K with a fifth bit: bit j of high[i % 32] is that of x[i] where j = i / 32.
struct BlockQ5K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};

/// x[i] = d s[i / 16] (q[i] - 32). Each half of 128 values has 64 bytes of `q` and 32 of `high`. With l = i % 32 and
/// k = i % 128 / 32, the low four bits are in byte l + 32 (k % 2) of q, low half for k < 2, and bits 2k and 2k + 1 of
/// high[l] are the upper two.
struct BlockQ6K {
  uint8_t q[128];
  uint8_t high[64];
  int8_t s[16];
  uint16_t d;
};

static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ4K) == 144 && sizeof(BlockQ5K) == 176 && sizeof(BlockQ6K) == 210);

/// Six-bit scale and minimum of sub-block j from the twelve bytes of Q4_K and Q5_K.
inline void unpack_scale(const uint8_t* scales, int j, int& scale, int& minimum) {
  if (j < 4) {
    scale = scales[j] & 63;
    minimum = scales[j + 4] & 63;
  } else {
    scale = (scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4);
    minimum = (scales[j + 4] >> 4) | ((scales[j] >> 6) << 4);
  }
}

/// Values and bytes of one block.
constexpr int64_t block_values(BlockType type) {
  return type == BlockType::kQ4K || type == BlockType::kQ5K || type == BlockType::kQ6K ? kSuperValues : kBlockValues;
}
constexpr int64_t block_bytes(BlockType type) {
  constexpr int64_t kBytes[kBlockTypes] = {34, 18, 20, 22, 24, 144, 176, 210};
  return kBytes[static_cast<int>(type)];
}
/// Bytes of n values, n a multiple of block_values.
constexpr int64_t blocks_bytes(BlockType type, int64_t n) { return n / block_values(type) * block_bytes(type); }

/// What n values mean (n a multiple of block_values). Exact: each value rounds as the formula above is written, in
/// float32, product by product from the left.
void dequantise_ref(BlockType type, const void* blocks, int64_t n, float* out);

/// Blocks for n finite values: scales (and minima) are searched for the least sum of squared errors of each block, so
/// the error is at most that of the largest value's own scale. Scales beyond half floats saturate.
void quantise_ref(BlockType type, const float* x, int64_t n, void* blocks);

}  // namespace dsmoe::kernels
