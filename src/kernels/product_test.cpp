// The product against its reference, and the promise that blocking never shows in the bits.
#include "kernels/product.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/bits.h"
#include "kernels/row_list.h"
#include "kernels/testing.h"

namespace dsmoe::kernels {
namespace {

using testing::normal_values;

/// A random matrix of a float type, and its values.
struct Stored {
  std::vector<float> f32;
  std::vector<uint16_t> narrow;
  Matrix matrix;
};

Stored stored(base::Rng& rng, WeightType type, int64_t rows, int64_t cols) {
  Stored s;
  s.f32 = normal_values(rng, rows * cols);
  s.matrix = {type, s.f32.data(), rows, cols};
  if (type != WeightType::kF32) {
    const bool bf16 = type == WeightType::kBf16;
    for (float& value : s.f32) {
      s.narrow.push_back(bf16 ? to_bf16(value) : base::f32_to_f16(value));
      value = bf16 ? from_bf16(s.narrow.back()) : base::f16_to_f32(s.narrow.back());
    }
    s.matrix.data = s.narrow.data();
  }
  return s;
}

class Products : public testing::EveryIsa {
 protected:
  base::Rng rng_{1};
};
DSMOE_ON_EVERY_ISA(Products);

TEST_P(Products, MatchTheDefinitionOverOddShapes) {
  const int64_t shapes[][3] = {{1, 1, 1},  {1, 3, 5},   {2, 8, 16},  {3, 9, 17},   {4, 4, 31},
                               {5, 7, 33}, {9, 13, 48}, {17, 5, 63}, {6, 33, 100}, {3, 21, 257}};
  for (const auto type : {WeightType::kF32, WeightType::kF16, WeightType::kBf16}) {
    for (const auto& shape : shapes) {
      const int64_t tokens = shape[0], rows = shape[1], cols = shape[2];
      const Stored w = stored(rng_, type, rows, cols);
      const auto x = normal_values(rng_, tokens * cols);
      std::vector<float> got(static_cast<size_t>(tokens * rows)), want(got.size());
      const Product product{w.matrix, 0, rows, x.data(), cols, nullptr, tokens, got.data(), rows};
      matmul(product);
      Product reference = product;
      reference.out = want.data();
      matmul_ref(reference);
      testing::expect_within(
          got, want,
          [&](size_t i) {
            double sizes = 0;  // sum |w x|, what the bound of a dot product is relative to
            const int64_t t = static_cast<int64_t>(i) / rows, n = static_cast<int64_t>(i) % rows;
            for (int64_t k = 0; k < cols; ++k) {
              sizes +=
                  std::abs(double{w.f32[static_cast<size_t>(n * cols + k)]} * x[static_cast<size_t>(t * cols + k)]);
            }
            return (testing::dot_bound(cols) + testing::kRound) * sizes;
          },
          "matmul " + std::to_string(tokens) + "x" + std::to_string(rows) + "x" + std::to_string(cols));
    }
  }
}

TEST_P(Products, ATokensBitsDoNotDependOnItsCompanyOrOnBlocks) {
  const int64_t tokens = 11, rows = 37, cols = 83;
  const Stored w = stored(rng_, WeightType::kF32, rows, cols);
  const auto x = normal_values(rng_, tokens * cols);
  std::vector<float> all(static_cast<size_t>(tokens * rows)), one(static_cast<size_t>(rows));
  matmul({w.matrix, 0, rows, x.data(), cols, nullptr, tokens, all.data(), rows});
  for (int32_t t = 0; t < tokens; ++t) {
    for (const int64_t cut : {int64_t{1}, int64_t{5}, int64_t{16}, rows - 1}) {  // rows in two pieces
      matmul({w.matrix, 0, cut, x.data(), cols, &t, 1, one.data(), rows});
      matmul({w.matrix, cut, rows, x.data(), cols, &t, 1, one.data(), rows});
      ASSERT_EQ(std::memcmp(one.data(), all.data() + t * rows, one.size() * sizeof(float)), 0) << t << " cut " << cut;
    }
  }
}

TEST_P(Products, RowsArePickedByIndexAndThreadsDoNotShow) {
  const int64_t rows = 301, cols = 130;
  const Stored w = stored(rng_, WeightType::kBf16, rows, cols);
  const auto x = normal_values(rng_, 9 * cols);
  const std::vector<int32_t> index = {8, 0, 3, 3, 7};
  std::vector<float> picked(index.size() * static_cast<size_t>(rows)), whole(9 * static_cast<size_t>(rows));
  matmul({w.matrix, 0, rows, x.data(), cols, index.data(), 5, picked.data(), rows});
  matmul(base::serial_for, w.matrix, x, 9, whole);
  for (size_t i = 0; i < index.size(); ++i) {
    EXPECT_EQ(std::memcmp(picked.data() + i * rows, whole.data() + index[i] * rows, sizeof(float) * rows), 0);
  }
  std::vector<float> scattered(picked.size());
  Product product{w.matrix, 0, rows, x.data(), cols, index.data(), 5};
  const auto to = testing::backwards(scattered, 5);
  product.out_rows = to.data();
  matmul(product);
  for (size_t i = 0; i < index.size(); ++i) {
    EXPECT_EQ(std::memcmp(to[i], whole.data() + index[i] * rows, sizeof(float) * rows), 0) << "written anywhere";
  }
  for (const int threads : {2, 3, 5}) {
    base::ThreadPool pool(threads);
    std::vector<float> again(whole.size());
    matmul(pool.parallel_for(), w.matrix, x, 9, again);
    EXPECT_EQ(again, whole) << threads;
  }
}

// One order of sums everywhere: where both fuse, AVX2 and AVX-512 agree to the bit.
TEST(ProductOrder, TheFusedSetsAgreeToTheBit) {
  const auto isas = available_isas();
  if (std::find(isas.begin(), isas.end(), Isa::kAvx512) == isas.end())
    GTEST_SKIP() << "no AVX-512 to compare with AVX2";
  base::Rng rng(3);
  const Stored w = stored(rng, WeightType::kF32, 29, 1003);
  const auto x = normal_values(rng, 7 * 1003);
  std::vector<std::vector<float>> results;
  for (const Isa isa : isas) {
    if (isa == Isa::kScalar) continue;  // rounds products and sums
    use_isa(isa);
    results.emplace_back(7 * 29);
    matmul(base::serial_for, w.matrix, x, 7, results.back());
  }
  use_isa(isa_from(""));
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

// Rows of matrices of any size, some without work; the same list may be made again.
TEST(RowList, EveryRowOnceInUnits) {
  const int64_t rows[] = {1, 0, 70, 64, 5, 2048}, work[] = {1 << 16, 9, 0, 1 << 15, 1 << 17, 3000};
  RowList list;
  for (const int threads : {1, 2, 3, 5}) {
    base::ThreadPool pool(threads);
    list.clear();
    for (size_t j = 0; j < std::size(rows); ++j) list.add(rows[j], work[j]);
    std::vector<std::vector<std::atomic<int>>> seen;
    for (const int64_t n : rows) seen.emplace_back(static_cast<size_t>(n));
    list.run(pool.parallel_for(), [&](const RowRange& range, const RowRange* next) {
      auto& matrix = seen[static_cast<size_t>(range.matrix)];
      EXPECT_EQ(range.begin % RowList::kUnit, 0);
      ASSERT_LT(range.begin, range.end);
      for (int64_t i = range.begin; i < range.end; ++i) ++matrix[static_cast<size_t>(i)];
      if (!next) return;
      const bool here = next->matrix == range.matrix;
      EXPECT_EQ(next->begin, here ? range.end : 0);
      EXPECT_LT(next->begin, rows[next->matrix]);
    });
    for (size_t j = 0; j < std::size(rows); ++j) {
      for (const auto& times : seen[j]) ASSERT_EQ(times, work[j] > 0 ? 1 : 0) << "matrix " << j;
    }
  }
  list.clear();
  list.run(base::serial_for, [](const RowRange&, const RowRange*) { FAIL() << "nothing to do"; });
}

TEST(RowWork, IsWhatIsReadForOneTokenAndWhatIsMultipliedForMany) {
  const auto work = [](WeightType type, int64_t tokens) {
    return row_work({.type = type, .rows = 8, .cols = 2048}, tokens);
  };
  EXPECT_EQ(18 * work(WeightType::kQ8_0, 1), 34 * work(WeightType::kQ4_0, 1));
  EXPECT_EQ(210 * work(WeightType::kQ4K, 1), 144 * work(WeightType::kQ6K, 1));
  for (const auto type : {WeightType::kQ4_0, WeightType::kQ8_0, WeightType::kF32}) {
    EXPECT_EQ(work(type, 0), 0);
    EXPECT_EQ(work(type, 64), 64 * 2048);
  }
}

TEST(Bf16, RoundsToNearestEvenAndKeepsSpecials) {
  EXPECT_EQ(to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f), 0x3f80);             // halfway, to even
  EXPECT_EQ(to_bf16(1.0f + 0x1p-7f + 0x1p-8f), 0x3f82);   // halfway, to even
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);  // above halfway
  EXPECT_TRUE(std::isinf(from_bf16(to_bf16(3.4e38f))));
  EXPECT_TRUE(std::isnan(from_bf16(to_bf16(std::nanf("")))));
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) ASSERT_EQ(to_bf16(from_bf16(static_cast<uint16_t>(bits))), bits);
}

}  // namespace
}  // namespace dsmoe::kernels
