#include "kernels/product.h"

#include <algorithm>
#include <vector>

#include "base/bits.h"
#include "base/error.h"
#include "kernels/activations.h"
#include "kernels/isa.h"
#include "kernels/row_list.h"

namespace dsmoe::kernels {
namespace {

// More would balance no better on the cores of a machine.
constexpr int64_t kMostChunks = 128;

// Multiply-adds that take as long as reading a byte of weights does: what makes a row of a few tokens' work.
constexpr int64_t kWorkOfAByte = 4;

/// What the product multiplies by: x, or its int8 value times its scale.
double activation_at(const Product& p, int64_t row, int64_t k) {
  if (!is_quantised(p.weights.type)) return p.x[row * p.x_stride + k];
  const int64_t at = row * p.weights.cols + k;
  return double{p.activations.blocks[at / kActivationBlock].scale} * p.activations.values[at];
}

}  // namespace

void matmul(const Product& p) {
  DSMOE_CHECK(p.row_begin >= 0 && p.row_end <= p.weights.rows, "rows of the matrix");
  DSMOE_CHECK(!is_quantised(p.weights.type) || p.activations.values || p.tokens == 0, "activations beside blocks");
  if (p.tokens > 0) kernels().matmul[static_cast<size_t>(p.weights.type)](p);
}

void matmul_ref(const Product& p) {
  const int64_t K = p.weights.cols;
  std::vector<float> weights(static_cast<size_t>(K));
  for (int64_t n = p.row_begin; n < p.row_end; ++n) {
    weight_row(p.weights, n, weights);
    for (int64_t t = 0; t < p.tokens; ++t) {
      const int64_t row = p.x_rows ? p.x_rows[t] : t;
      double sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += weights[static_cast<size_t>(k)] * activation_at(p, row, k);
      p.out_of(t)[n] = static_cast<float>(sum);
    }
  }
}

Product part_of(const Product& whole, int64_t begin, int64_t end, const void* next) {
  Product part = whole;
  part.row_begin = whole.row_begin + begin;
  part.row_end = whole.row_begin + end;
  part.next = next;
  return part;
}

int64_t row_work(const Matrix& weights, int64_t tokens) {
  return tokens > 0 ? std::max(weights.cols * tokens, kWorkOfAByte * row_bytes(weights.type, weights.cols)) : 0;
}

int64_t items_per_chunk(int64_t count, int64_t work) {
  const int64_t chunks = std::clamp<int64_t>(work / kWorthAThread, 1, kMostChunks);
  return std::max<int64_t>(1, (count + chunks - 1) / chunks);
}

void matmul(const base::ParallelFor& parallel_for, std::span<const Product> products) {
  thread_local RowList memory;  // the caller's, kept from call to call
  RowList& list = memory;       // a name that means the same one on every thread
  list.clear();
  for (const Product& p : products) list.add(p.row_end - p.row_begin, row_work(p.weights, p.tokens));
  list.run(parallel_for, [&](const RowRange& rows, const RowRange* next) {
    const auto of = [&](const RowRange& range) -> const Product& {
      return products[static_cast<size_t>(range.matrix)];
    };
    const void* after = next ? row_address(of(*next).weights, of(*next).row_begin + next->begin) : nullptr;
    matmul(part_of(of(rows), rows.begin, rows.end, after));
  });
}

void matmul(const base::ParallelFor& parallel_for, const Matrix& weights, std::span<const float> x_TK, int64_t tokens,
            std::span<float> out_TN) {
  DSMOE_CHECK(static_cast<int64_t>(x_TK.size()) == tokens * weights.cols, "x is [tokens, cols]");
  DSMOE_CHECK(static_cast<int64_t>(out_TN.size()) == tokens * weights.rows, "out is [tokens, rows]");
  Product all{weights, 0, weights.rows, x_TK.data(), weights.cols, nullptr, tokens, out_TN.data(), weights.rows};
  ActivationRows activations;
  if (is_quantised(weights.type)) {
    activations.resize(tokens, weights.cols);
    activations.quantise(parallel_for, x_TK);
    all.activations = activations.view();
  }
  matmul(parallel_for, {&all, 1});
}

float from_bf16(uint16_t bits) { return base::bf16_to_f32(bits); }

uint16_t to_bf16(float x) { return base::f32_to_bf16(x); }

float weight_at(const Matrix& weights, int64_t row, int64_t col) {
  const int64_t at = row * weights.cols + col;
  if (is_quantised(weights.type)) {
    const BlockType type = block_type(weights.type);
    float block[kSuperValues];
    const auto* bytes = static_cast<const uint8_t*>(weights.data);
    dequantise_ref(type, bytes + at / block_values(type) * block_bytes(type), block_values(type), block);
    return block[at % block_values(type)];
  }
  if (weights.type == WeightType::kF32) return static_cast<const float*>(weights.data)[at];
  const uint16_t bits = static_cast<const uint16_t*>(weights.data)[at];
  return weights.type == WeightType::kF16 ? base::f16_to_f32(bits) : from_bf16(bits);
}

void weight_row(const Matrix& weights, int64_t row, std::span<float> values) {
  DSMOE_CHECK(std::ssize(values) == weights.cols && row >= 0 && row < weights.rows, "a row of the matrix");
  if (is_quantised(weights.type)) {
    const auto* bytes = static_cast<const uint8_t*>(weights.data) + row * row_bytes(weights.type, weights.cols);
    return dequantise_ref(block_type(weights.type), bytes, weights.cols, values.data());
  }
  for (int64_t k = 0; k < weights.cols; ++k) values[static_cast<size_t>(k)] = weight_at(weights, row, k);
}

}  // namespace dsmoe::kernels
