#include "kernels/low_rank.h"

#include "kernels/product.h"
#include "kernels/row_list.h"

namespace dsmoe::kernels {

Product narrow_product(const LowRank& adapter, const float* x, int64_t x_stride, const int32_t* x_rows, int64_t tokens,
                       float* narrow) {
  return {adapter.a, 0, adapter.a.rows, x, x_stride, x_rows, tokens, narrow, adapter.a.rows};
}

void add_low_rank(const LowRank& adapter, int64_t begin, int64_t end, const float* narrow, int64_t tokens, float* out,
                  int64_t out_stride) {
  thread_local std::vector<float> sums;  // [tokens, end - begin]
  const int64_t width = end - begin;
  if (std::ssize(sums) < tokens * width) sums.resize(static_cast<size_t>(tokens * width));
  matmul(Product{adapter.b, begin, end, narrow, adapter.b.cols, nullptr, tokens, sums.data() - begin, width});
  for (int64_t t = 0; t < tokens; ++t) {
    float* const to = out + t * out_stride + begin;
    for (int64_t i = 0; i < width; ++i) to[i] += sums[static_cast<size_t>(t * width + i)];
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
    list.add(sum.adapter->b.rows, sum.adapter->adds() ? row_work(sum.adapter->b, sum.tokens) : 0);
  }
  list.run(parallel_for, [&](const RowRange& rows, const RowRange*) {
    const LowRankSum& sum = sums[static_cast<size_t>(rows.matrix)];
    add_low_rank(*sum.adapter, rows.begin, rows.end, scratch.products[static_cast<size_t>(rows.matrix)].out, sum.tokens,
                 sum.out, sum.adapter->b.rows);
  });
}

}  // namespace dsmoe::kernels
