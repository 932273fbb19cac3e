// Causal self-attention of the training step over whole sequences, forward and backward, rotary positions included.
// Sequences lie one after another, each of a length of its own; none sees another, and each has the bits that it would
// have alone (the gradients of keys and values apart: below). The decoding half, over a cache, is attend.h.
//
// No matrix of positions by positions exists: blocks of queries meet blocks of keys. Forward is an online softmax;
// backward makes a block's probabilities again from the logarithm of each row's sum. With P the probabilities, O the
// output and delta = sum over a row of dO * O (FlashAttention, arXiv 2205.14135):
//   dV += P' dO,  dS = P * (dO V' - delta),  dQ += dS K,  dK += dS' Q.
// Products take inputs in the activations' type and sum in float32. Heads are turned while they are taken apart and
// turned back while their gradients are put together.
//
// A sequence's key/value head is one problem with its own order of sums: blocks of keys ascending forward, query heads
// and blocks of queries ascending backward. Where problems are few, each is split by blocks of queries, whose sums for
// keys and values are added in order. That depends on lengths alone, so bits do not depend on threads.
#pragma once

#include <algorithm>
#include <span>

#include "base/parallel.h"
#include "kernels/panels.h"

namespace dsmoe::kernels {

/// Rows of qkv are [H query heads | Hkv key heads | Hkv value heads] of A elements, a row a position. Query head h uses
/// key/value head h / (H / Hkv). A is even. Scores are scaled by 1 / sqrt(A).
struct TrainAttention {
  Number type = Number::kF32;  ///< of qkv, out and their gradients
  /// [B + 1] Sequence b has the rows from begins[b] up to begins[b + 1], at the positions 0, 1, ...; begins with 0,
  /// ends with T.
  std::span<const int64_t> begins = {};
  int64_t heads = 0, kv_heads = 0, head_size = 0;
  const float* cosines = nullptr;  ///< [S, A/2], S the longest sequence
  const float* sines = nullptr;
  const void* qkv = nullptr;  ///< [T, (H + 2 Hkv) A]
  void* out = nullptr;        ///< [T, H A]; read by the backward pass
  float* log_sum =
      nullptr;  ///< [T H] log of each row's sum of e^score, of a sequence [H, S]; read by the backward pass

  int64_t sequences() const { return std::ssize(begins) - 1; }
  int64_t longest() const {
    int64_t most = 0;
    for (size_t b = 1; b < begins.size(); ++b) most = std::max(most, begins[b] - begins[b - 1]);
    return most;
  }
  int64_t group() const { return heads / kv_heads; }
  int64_t width() const { return (heads + 2 * kv_heads) * head_size; }
};

/// One sequence of a call.
struct AttentionSequence : TrainAttention {
  AttentionSequence(const TrainAttention& a, int64_t sequence)
      : TrainAttention(a),
        first_row(a.begins[static_cast<size_t>(sequence)]),
        positions(a.begins[static_cast<size_t>(sequence) + 1] - first_row) {}
  /// Of a query head.
  float* log_sums(int64_t head) const { return log_sum + first_row * heads + head * positions; }
  int64_t first_row, positions;
};

void attention_forward(const base::ParallelFor& parallel_for, const TrainAttention& a);
void attention_forward_ref(const base::ParallelFor& parallel_for, const TrainAttention& a);

/// grad_qkv from grad_out, of the same shapes and type as qkv and out.
void attention_backward(const base::ParallelFor& parallel_for, const TrainAttention& a, const void* grad_out,
                        void* grad_qkv);
void attention_backward_ref(const base::ParallelFor& parallel_for, const TrainAttention& a, const void* grad_out,
                            void* grad_qkv);

}  // namespace dsmoe::kernels
