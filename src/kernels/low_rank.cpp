#include "kernels/low_rank.h"

#include <algorithm>

#include "base/bits.h"
#include "base/error.h"
#include "kernels/product.h"
#include "kernels/row_list.h"

namespace dsmoe::kernels {

Product narrow_product(const LowRank& adapter, const float* x, int64_t x_stride, const int32_t* x_rows, int64_t tokens,
                       float* narrow) {
  return {adapter.a, 0, adapter.a.rows, x, x_stride, x_rows, tokens, narrow, adapter.a.rows};
}

namespace {

constexpr int64_t kOutputs = 64;  // their sums stay in registers and the nearest cache

float widened(float value) { return value; }
float widened(uint16_t bits) { return base::bf16_to_f32(bits); }

// sums[i] = narrow times column first + i of B: over r in order, whatever `count` is. B is [r, N].
template <class Number>
void sum_columns(const Matrix& b, int64_t first, int64_t count, const float* narrow, float* sums) {
  std::fill(sums, sums + kOutputs, 0.0F);
  const auto* row = static_cast<const Number*>(b.data) + first;
  for (int64_t r = 0; r < b.rows; ++r, row += b.cols) {
    const float factor = narrow[r];
    if (count == kOutputs) {
      for (int64_t i = 0; i < kOutputs; ++i) sums[i] += factor * widened(row[i]);
    } else {
      for (int64_t i = 0; i < count; ++i) sums[i] += factor * widened(row[i]);
    }
  }
}

}  // namespace

void add_low_rank(const LowRank& adapter, int64_t begin, int64_t end, const float* narrow, int64_t tokens, float* out,
                  int64_t out_stride) {
  const Matrix& b = adapter.b;
  DSMOE_CHECK(b.type == WeightType::kF32 || b.type == WeightType::kBf16, "adapters are float32 or bf16");
  float sums[kOutputs];
  // Outputs outside, tokens inside: a stretch of B is read once.
  for (int64_t first = begin; first < end; first += kOutputs) {
    const int64_t count = std::min(kOutputs, end - first);
    for (int64_t t = 0; t < tokens; ++t) {
      const auto sum = b.type == WeightType::kF32 ? sum_columns<float> : sum_columns<uint16_t>;
      sum(b, first, count, narrow + t * b.rows, sums);
      float* const to = out + t * out_stride + first;
      for (int64_t i = 0; i < count; ++i) to[i] += sums[i];
    }
  }
}

void add_low_ranks(const base::ParallelFor& parallel_for, std::span<const LowRankSum> sums, LowRankScratch& scratch) {
  int64_t numbers = 0;
  for (const LowRankSum& sum : sums) numbers += sum.tokens * sum.adapter->a.rows;
  if (numbers == 0) return;
  if (std::ssize(scratch.narrow) < numbers) scratch.narrow.resize(static_cast<size_t>(numbers));
  scratch.products.clear();
  float* narrow = scratch.narrow.data();
  for (const LowRankSum& sum : sums) {
    scratch.products.push_back(narrow_product(*sum.adapter, sum.x, sum.x_stride, nullptr, sum.tokens, narrow));
    narrow += sum.tokens * sum.adapter->a.rows;
  }
  matmul(parallel_for, scratch.products);
  thread_local RowList memory;
  RowList& list = memory;
  list.clear();
  for (const LowRankSum& sum : sums) {
    list.add(sum.adapter->b.cols, sum.tokens * sum.adapter->b.rows);
  }
  list.run(parallel_for, [&](const RowRange& rows, const RowRange*) {
    const LowRankSum& sum = sums[static_cast<size_t>(rows.matrix)];
    add_low_rank(*sum.adapter, rows.begin, rows.end, scratch.products[static_cast<size_t>(rows.matrix)].out, sum.tokens,
                 sum.out, sum.adapter->b.cols);
  });
}

}  // namespace dsmoe::kernels
