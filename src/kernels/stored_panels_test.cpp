// Stored weights in packed layouts, to the bit as dequantised and packed by the references, on every instruction set.
#include "kernels/stored_panels.h"

#include "kernels/panels.h"
#include "kernels/product.h"
#include "kernels/train_testing.h"

namespace dsmoe::kernels {
namespace {

using namespace testing;  // NOLINT

class StoredPanels : public EveryIsa {};
DSMOE_ON_EVERY_ISA(StoredPanels);

constexpr WeightType kTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBf16, WeightType::kQ8_0,
                                 WeightType::kQ4_0, WeightType::kQ4_1, WeightType::kQ5_0, WeightType::kQ5_1,
                                 WeightType::kQ4K,  WeightType::kQ5K,  WeightType::kQ6K};

/// A matrix of random weights in a type.
struct Stored {
  Stored(WeightType type, int64_t rows, int64_t cols) {
    base::Rng rng(9);
    bytes.resize(static_cast<size_t>(rows * row_bytes(type, cols)));
    matrix = {type, bytes.data(), rows, cols};
    for (int64_t row = 0; row < rows; ++row) {
      const auto values = normal_values(rng, cols);
      uint8_t* to = bytes.data() + row * row_bytes(type, cols);
      if (is_quantised(type)) {
        quantise_ref(block_type(type), values.data(), cols, to);
      } else if (type == WeightType::kF32) {
        std::memcpy(to, values.data(), values.size() * sizeof(float));
      } else {
        for (int64_t k = 0; k < cols; ++k) {  // any finite half will do
          const uint16_t bits = static_cast<uint16_t>(to_bf16(values[static_cast<size_t>(k)]) & 0xbfff);
          std::memcpy(to + 2 * k, &bits, sizeof(bits));
        }
      }
    }
  }
  std::vector<float> rows_from(int64_t row, int64_t step, int64_t count) const {
    std::vector<float> values(static_cast<size_t>(count * matrix.cols));
    for (int64_t i = 0; i < count; ++i) {
      weight_row(matrix, row + i * step,
                 std::span(values).subspan(static_cast<size_t>(i * matrix.cols), static_cast<size_t>(matrix.cols)));
    }
    return values;
  }
  std::vector<uint8_t> bytes;
  Matrix matrix;
};

TEST_P(StoredPanels, ColumnsAreThoseOfPackRight) {
  for (const WeightType type : kTypes) {
    for (const Number to : {Number::kF32, Number::kBf16}) {
      for (const int64_t cols : {int64_t{256}, int64_t{1280}}) {
        for (const int64_t step : {int64_t{1}, int64_t{2}}) {
          const Stored stored(type, 70, cols);
          for (const int64_t count : {int64_t{1}, int64_t{9}, int64_t{16}, int64_t{17}, int64_t{32}}) {
            auto got = rubbish(to, packed_numbers(cols, kPanel)), want = rubbish(to, packed_numbers(cols, kPanel));
            pack_stored_columns({stored.matrix, 3, step, std::min<int64_t>(count, 16)}, to, got.data(), 0);
            if (count > 16) pack_stored_columns({stored.matrix, 3 + 16 * step, step, count - 16}, to, got.data(), 16);
            const auto values = stored.rows_from(3, step, count);
            pack_right_ref(Number::kF32, {values.data(), cols}, Along::kOutput, cols, count, to, want.data());
            const int64_t half = packed_numbers(cols, kPanel) / 2 * number_bytes(to);
            if (count <= 16) {  // the other sixteen columns are nobody's
              const int64_t cell = 64, bytes = 2 * half;
              for (int64_t i = 0; i < bytes; i += 2 * cell) std::memset(got.data() + i + cell, 0, cell);
            }
            ASSERT_EQ(got, want) << static_cast<int>(type) << " " << count << " of " << cols;
          }
        }
      }
    }
  }
}

TEST_P(StoredPanels, DepthIsThatOfPackRight) {
  for (const WeightType type : kTypes) {
    for (const Number to : {Number::kF32, Number::kBf16}) {
      for (const int64_t rows : {int64_t{2}, int64_t{16}, int64_t{31}, int64_t{48}}) {
        for (const int64_t cols : {int64_t{256}, int64_t{512}}) {
          const Stored stored(type, 2 * rows, cols);
          for (const int64_t step : {int64_t{1}, int64_t{2}}) {
            auto got = rubbish(to, packed_numbers(rows, cols)), want = rubbish(to, packed_numbers(rows, cols));
            for (int64_t at = 0; at < rows; at += 16) {
              const RowsOfMatrix some{stored.matrix, at * step, step, std::min<int64_t>(16, rows - at)};
              // The columns of 256 have their panels one after another.
              for (int64_t column = 0; column < cols; column += 256) {
                uint8_t* part = got.data() + packed_numbers(rows, column) * number_bytes(to);
                pack_stored_depth(some, {column, column + 256}, to, part, rows, at);
              }
            }
            const auto values = stored.rows_from(0, step, rows);
            pack_right_ref(Number::kF32, {values.data(), cols}, Along::kDepth, rows, cols, to, want.data());
            ASSERT_EQ(got, want) << static_cast<int>(type) << " " << rows << " by " << cols;
          }
        }
      }
    }
  }
}

// Odd widths are for float types alone, which the references pack.
TEST(StoredPanelsRef, PacksOddWidths) {
  const Stored stored(WeightType::kF32, 20, 7);
  const auto values = stored.rows_from(0, 1, 16);
  for (const Number to : {Number::kF32, Number::kBf16}) {
    auto got = rubbish(to, packed_numbers(7, kPanel)), want = got;
    pack_stored_columns_ref({stored.matrix, 0, 1, 16}, to, got.data(), 0);
    pack_stored_columns_ref({stored.matrix, 0, 1, 16}, to, got.data(), 16);
    std::vector<float> twice = values;
    twice.insert(twice.end(), values.begin(), values.end());
    pack_right_ref(Number::kF32, {twice.data(), 7}, Along::kOutput, 7, 32, to, want.data());
    EXPECT_EQ(got, want);
    auto deep = rubbish(to, packed_numbers(15, 7)), wanted = deep;
    pack_stored_depth_ref({stored.matrix, 0, 1, 15}, {0, 7}, to, deep.data(), 15, 0);
    pack_right_ref(Number::kF32, {values.data(), 7}, Along::kDepth, 15, 7, to, wanted.data());
    EXPECT_EQ(deep, wanted);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
