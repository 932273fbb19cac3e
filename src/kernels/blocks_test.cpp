// Block formats: bytes written by hand mean the right numbers, making and reading are inverse, and the search is never
// worse than the plain scale.
#include "kernels/blocks.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bits.h"
#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

constexpr BlockType kAll[] = {BlockType::kQ8_0, BlockType::kQ4_0, BlockType::kQ4_1, BlockType::kQ5_0,
                              BlockType::kQ5_1, BlockType::kQ4K,  BlockType::kQ5K,  BlockType::kQ6K};
constexpr uint16_t kOne = 0x3c00, kTwo = 0x4000, kHalf = 0x3800, kMinusOne = 0xbc00;

template <class Block>
std::vector<float> values(BlockType type, const Block& block) {
  std::vector<float> out(static_cast<size_t>(block_values(type)));
  EXPECT_EQ(sizeof block, static_cast<size_t>(block_bytes(type)));
  dequantise_ref(type, &block, block_values(type), out.data());
  return out;
}

std::vector<uint8_t> made(BlockType type, const std::vector<float>& x) {
  std::vector<uint8_t> blocks(static_cast<size_t>(blocks_bytes(type, static_cast<int64_t>(x.size()))));
  quantise_ref(type, x.data(), static_cast<int64_t>(x.size()), blocks.data());
  return blocks;
}

std::vector<float> there_and_back(BlockType type, const std::vector<float>& x) {
  const auto blocks = made(type, x);
  std::vector<float> out(x.size());
  dequantise_ref(type, blocks.data(), static_cast<int64_t>(x.size()), out.data());
  return out;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

TEST(Blocks, EightBits) {
  BlockQ8_0 block{kHalf, {}};
  block.q[0] = -127, block.q[31] = 5;
  const auto x = values(BlockType::kQ8_0, block);
  EXPECT_EQ(x[0], -63.5f);
  EXPECT_EQ(x[31], 2.5f);
  EXPECT_EQ(x[1], 0.0f);
}

TEST(Blocks, FourBitsInHalvesOfSixteen) {
  BlockQ4_0 block{kTwo, {}};
  for (auto& byte : block.q) byte = 0x88;  // zeros
  block.q[3] = 0xf1;                       // value 3: 1 - 8, value 19: 15 - 8
  const auto x = values(BlockType::kQ4_0, block);
  EXPECT_EQ(x[3], -14.0f);
  EXPECT_EQ(x[19], 14.0f);
  EXPECT_EQ(std::count(x.begin(), x.end(), 0.0f), 30);

  BlockQ4_1 affine{kTwo, kMinusOne, {}};
  affine.q[3] = 0xf1;
  const auto y = values(BlockType::kQ4_1, affine);
  EXPECT_EQ(y[3], 1.0f);
  EXPECT_EQ(y[19], 29.0f);
  EXPECT_EQ(std::count(y.begin(), y.end(), -1.0f), 30);
}

TEST(Blocks, TheFifthBitIsOneBitPerValue) {
  BlockQ5_0 block{kOne, {0, 0, 0x08, 0x80}, {}};  // bits 19 and 31
  block.q[3] = 0x21;
  const auto x = values(BlockType::kQ5_0, block);
  EXPECT_EQ(x[3], 1.0f - 16);
  EXPECT_EQ(x[19], 18.0f - 16);
  EXPECT_EQ(x[31], 16.0f - 16);
  BlockQ5_1 affine{kOne, kHalf, {0, 0, 0x08, 0x80}, {}};
  affine.q[3] = 0x21;
  const auto y = values(BlockType::kQ5_1, affine);
  EXPECT_EQ(y[3], 1.5f);
  EXPECT_EQ(y[19], 18.5f);
  EXPECT_EQ(y[31], 16.5f);
}

TEST(Blocks, SixBitScalesOfSuperBlocks) {
  // s = 1, 2, 3, 4, 50, 51, 52, 53 and m = 10, ..., 17
  BlockQ4K block{kTwo, kHalf, {}, {}};
  const int s[] = {1, 2, 3, 4, 50, 51, 52, 53}, m[] = {10, 11, 12, 13, 14, 15, 16, 17};
  for (int j = 0; j < 4; ++j) {
    block.scales[j] = static_cast<uint8_t>(s[j] | (s[j + 4] >> 4) << 6);
    block.scales[j + 4] = static_cast<uint8_t>(m[j] | (m[j + 4] >> 4) << 6);
    block.scales[j + 8] = static_cast<uint8_t>((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
  }
  for (int i = 0; i < 128; ++i) block.q[i] = 0x73;
  const auto x = values(BlockType::kQ4K, block);
  for (int i = 0; i < 256; ++i) {
    const int q = i / 32 % 2 == 0 ? 3 : 7;
    EXPECT_EQ(x[static_cast<size_t>(i)], 2.0f * s[i / 32] * q - 0.5f * m[i / 32]) << i;
  }
  BlockQ5K five{kTwo, kHalf, {}, {}, {}};
  std::memcpy(five.scales, block.scales, sizeof five.scales);
  std::memcpy(five.q, block.q, sizeof five.q);
  five.high[9] = 0x21;  // sub-blocks 0 and 5
  const auto y = values(BlockType::kQ5K, five);
  for (int i = 0; i < 256; ++i) {
    const bool fifth = i == 9 || i == 5 * 32 + 9;
    const int q = (i / 32 % 2 == 0 ? 3 : 7) + (fifth ? 16 : 0);
    EXPECT_EQ(y[static_cast<size_t>(i)], 2.0f * s[i / 32] * q - 0.5f * m[i / 32]) << i;
  }
}

TEST(Blocks, SixBitsInTwoHalves) {
  BlockQ6K block{};
  block.d = kOne;
  for (int j = 0; j < 16; ++j) block.s[j] = static_cast<int8_t>(j - 8);
  block.q[64 + 32 + 7] = 0xa5;  // second half: value 39 low half, value 103 high half
  block.high[32 + 7] = 0xe4;    // upper bits 0, 1, 2, 3 of values 7, 39, 71, 103
  const auto x = values(BlockType::kQ6K, block);
  const auto scale = [](int i) { return static_cast<float>(i / 16 - 8); };
  EXPECT_EQ(x[128 + 7], scale(128 + 7) * (0 - 32));
  EXPECT_EQ(x[128 + 39], scale(128 + 39) * (5 + 16 - 32));
  EXPECT_EQ(x[128 + 71], scale(128 + 71) * (0 + 32 - 32));
  EXPECT_EQ(x[128 + 103], scale(128 + 103) * (10 + 48 - 32));
  EXPECT_EQ(x[0], scale(0) * -32);
}

// Values that a format holds exactly come back exactly, whatever positions they are at.
TEST(Blocks, WhatAFormatHoldsSurvives) {
  base::Rng rng(7);
  for (const BlockType type : kAll) {
    for (int round = 0; round < 20; ++round) {
      std::vector<uint8_t> blocks(static_cast<size_t>(3 * block_bytes(type)));
      for (uint8_t& byte : blocks) byte = static_cast<uint8_t>(rng.next());
      // random integers under plain scales: the scale fields alone are set by hand
      const auto set = [&](size_t at, uint16_t bits) {
        for (size_t b = 0; b < 3; ++b) std::memcpy(&blocks[b * static_cast<size_t>(block_bytes(type)) + at], &bits, 2);
      };
      set(type == BlockType::kQ6K ? 208 : 0, kHalf);
      if (type == BlockType::kQ4_1 || type == BlockType::kQ5_1) set(2, kMinusOne);
      if (type == BlockType::kQ4K || type == BlockType::kQ5K) set(2, kHalf);
      // the smallest and the largest integer in every block, so that the scale can only be the one given
      const auto set_byte = [&](size_t at, unsigned keep, unsigned byte) {
        for (size_t b = 0; b < 3; ++b) {
          uint8_t& here = blocks[b * static_cast<size_t>(block_bytes(type)) + at];
          here = static_cast<uint8_t>((here & keep) | byte);
        }
      };
      if (type == BlockType::kQ8_0) {
        set_byte(2, 0, 127);
        for (uint8_t& byte : blocks) byte = byte == 0x80 ? 0 : byte;
      } else if (block_values(type) == kBlockValues) {
        const size_t nibbles = static_cast<size_t>(block_bytes(type)) - 16;
        set_byte(nibbles, 0, 0xf0);  // values 0 and 16
        if (type == BlockType::kQ5_0 || type == BlockType::kQ5_1) {
          set_byte(nibbles - 4, 0xfe, 0);
          set_byte(nibbles - 2, 0xfe, 1);
        }
      }
      std::vector<float> x(static_cast<size_t>(3 * block_values(type)));
      dequantise_ref(type, blocks.data(), static_cast<int64_t>(x.size()), x.data());
      const auto back = there_and_back(type, x);
      double size = 0;
      for (const float value : x) size += double{value} * value;
      // K types search scales of their own: near, not equal (a six-bit scale is 1/126 off at most, of 63 steps)
      const bool exact = block_values(type) == kBlockValues;
      EXPECT_LE(squared_error(x, back), exact ? 0 : 1e-3 * size) << static_cast<int>(type);
    }
  }
}

// Errors on normal values, relative to their size, no more than 2 % above what the search reached when written.
TEST(Blocks, TheSearchIsAsGoodAsItWas) {
  constexpr double kReached[kBlockTypes] = {2.853e-5, 6.508e-3, 4.906e-3, 1.598e-3,
                                            1.125e-3, 4.944e-3, 1.197e-3, 2.775e-4};
  base::Rng rng(11);
  const auto x = testing::normal_values(rng, 256 * 400);
  double size = 0;
  for (const float value : x) size += double{value} * value;
  for (const BlockType type : kAll) {
    const double relative = squared_error(x, there_and_back(type, x)) / size;
    EXPECT_LE(relative, 1.02 * kReached[static_cast<int>(type)]) << static_cast<int>(type);
  }
}

TEST(Blocks, ZerosEqualAndExtremeValues) {
  for (const BlockType type : kAll) {
    const size_t n = static_cast<size_t>(block_values(type));
    EXPECT_EQ(there_and_back(type, std::vector<float>(n, 0.0f)), std::vector<float>(n, 0.0f));
    for (const float value : {1.0f, -1.0f, 3e38f, -3e38f, 1e-40f, -1e-30f, 6e4f}) {
      const auto back = there_and_back(type, std::vector<float>(n, value));
      for (const float got : back) {
        EXPECT_TRUE(std::isfinite(got)) << static_cast<int>(type) << ' ' << value;
        if (std::abs(value) == 1) {
          EXPECT_NEAR(got, value, 0.01f) << static_cast<int>(type);
        }
      }
    }
  }
}

// One large value must not spoil what a fit can keep: the error is never above that of the plain scale.
TEST(Blocks, NeverWorseThanThePlainScale) {
  base::Rng rng(13);
  for (int round = 0; round < 200; ++round) {
    auto x = testing::normal_values(rng, 32, std::exp(3 * rng.normal()));
    if (round % 3 == 0) x[rng.below(32)] *= 20;
    float extreme = 0;
    for (const float value : x) extreme = std::abs(value) > std::abs(extreme) ? value : extreme;
    const float d = base::f16_to_f32(base::f32_to_f16(extreme / -8));
    std::vector<float> plain;
    for (const float value : x) plain.push_back(d * std::clamp(std::nearbyint(value / d), -8.0f, 7.0f));
    // a half float's rounding moves a searched scale by 2^-11 at most
    EXPECT_LE(squared_error(x, there_and_back(BlockType::kQ4_0, x)), squared_error(x, plain) * 1.002) << round;
  }
}

}  // namespace
}  // namespace dsmoe::kernels
