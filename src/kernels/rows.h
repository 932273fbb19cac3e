// Kernels along rows: norm, rotation, softmax, SwiGLU's middle, scaled addition. For each, `_ref` is the reference
// (double, in order) with the same signature; out may be the input unless said otherwise.
//
// Shapes: T rows, D or any n columns, row-major float32. Sizes are checked by DSMOE_CHECK: passing others is our fault.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dsmoe::kernels {

/// out = x / sqrt(mean(x^2) + eps) * weight, row by row. Rows have weight.size() columns.
void rms_norm(std::span<const float> x_TD, std::span<const float> weight_D, double eps, std::span<float> out_TD);
void rms_norm_ref(std::span<const float> x_TD, std::span<const float> weight_D, double eps, std::span<float> out_TD);

/// Cosines and sines of position * theta^(-2i / head_dim), i < head_dim / 2, for positions 0, 1, ... Angles are made in
/// double, so that far positions are as exact as near ones, and rounded to float32 once.
class RopeTable {
 public:
  RopeTable(int64_t head_dim, double theta, int64_t positions = 0);
  /// Makes rows for positions below `positions` where they are missing.
  void reach(int64_t positions);
  std::span<const float> cosines(int64_t position) const { return row(cosines_, position); }
  std::span<const float> sines(int64_t position) const { return row(sines_, position); }
  int64_t half() const { return half_; }

 private:
  std::span<const float> row(const std::vector<float>& table, int64_t position) const {
    return {table.data() + position * half_, static_cast<size_t>(half_)};
  }
  int64_t half_;
  std::vector<double> frequencies_;
  std::vector<float> cosines_, sines_;
};

/// Rotates every head of one row in place, pairing element i with i + head_dim / 2 (half-split, "NeoX").
void rope(std::span<float> heads, const RopeTable& table, int64_t position);
void rope_ref(std::span<float> heads, const RopeTable& table, int64_t position);
/// The same, to the bit, for heads whose pairs are neighbours, elements 2 i and 2 i + 1; `heads` has them half-split.
/// `pairs` is other memory.
void rope_pairs(std::span<const float> pairs, const RopeTable& table, int64_t position, std::span<float> heads);
void rope_pairs_ref(std::span<const float> pairs, const RopeTable& table, int64_t position, std::span<float> heads);

/// out = e^(x - max) / sum of the same, per row of n columns.
void softmax(std::span<const float> x, int64_t n, std::span<float> out);
void softmax_ref(std::span<const float> x, int64_t n, std::span<float> out);

/// out = gate / (1 + e^-gate) * up.
void silu_mul(std::span<const float> gate, std::span<const float> up, std::span<float> out);
void silu_mul_ref(std::span<const float> gate, std::span<const float> up, std::span<float> out);

/// y += scale * x.
void add_scaled(float scale, std::span<const float> x, std::span<float> y);
void add_scaled_ref(float scale, std::span<const float> x, std::span<float> y);

/// Asks for memory that will be read soon, while something else is waited for.
inline void ask_for(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); i += 16) __builtin_prefetch(values.data() + i);
}

/// out = e^x, for -87 <= x <= 88; beyond, it stays at the value of the border.
void exponential(std::span<const float> x, std::span<float> out);
void exponential_ref(std::span<const float> x, std::span<float> out);

/// log(sum of e^x) of a row of at least one; NaN where a value is NaN or plus infinity. The absolute error is below
/// 3e-6, about a tenth of that for rows of logits.
double log_sum_exp(std::span<const float> x);
double log_sum_exp_ref(std::span<const float> x);

}  // namespace dsmoe::kernels
