// The router's rows: softmax over experts with the choice of the best, the way back, and sums over tokens.
#pragma once

#include <cstdint>
#include <span>

#include "base/parallel.h"

namespace dsmoe::kernels {

/// scores = softmax(logits) row by row; the `chosen` best in descending order, of equals the lower expert first.
struct GateRows {
  int64_t tokens = 0, experts = 0, chosen = 0;
  const float* logits = nullptr;  ///< [T, E]
  float* scores = nullptr;        ///< [T, E]
  int64_t* best = nullptr;        ///< [T, K] experts
  float* values = nullptr;        ///< [T, K] their scores
};
void gate_rows(const base::ParallelFor& parallel_for, const GateRows& gate);
void gate_rows_ref(const base::ParallelFor& parallel_for, const GateRows& gate);

/// grad_logits = s (g - sum g s), g = grad_scores with grad_values added at the chosen.
struct GateRowsGrad {
  const float* grad_scores = nullptr;  ///< [T, E]; null: zeros
  const float* grad_values = nullptr;  ///< [T, K]; null: zeros
  float* grad_logits = nullptr;        ///< [T, E]
};
/// `gate` as gate_rows left it.
void gate_rows_backward(const base::ParallelFor& parallel_for, const GateRows& gate, const GateRowsGrad& grad);
void gate_rows_backward_ref(const base::ParallelFor& parallel_for, const GateRows& gate, const GateRowsGrad& grad);

/// sums[b] = sum over the rows of scope b that count, pieces of fixed size added in ascending order.
struct ScopeSums {
  std::span<const int64_t> begins = {};  ///< [scopes + 1]: scope b has the rows from begins[b] up to begins[b + 1]
  int64_t columns = 0;
  const bool* counts = nullptr;  ///< a row each; null: all do
  int64_t scopes() const { return std::ssize(begins) - 1; }
};
void scope_sums(const base::ParallelFor& parallel_for, const ScopeSums& s, const float* x, float* sums);
void scope_sums_ref(const base::ParallelFor& parallel_for, const ScopeSums& s, const float* x, float* sums);
/// The way back: every row that counts gets its scope's gradient, the others zeros.
void scope_sums_backward(const base::ParallelFor& parallel_for, const ScopeSums& s, const float* grad, float* grad_x);

}  // namespace dsmoe::kernels
