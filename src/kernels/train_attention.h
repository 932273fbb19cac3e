// Causal self-attention of the training step over whole sequences, forward and backward, rotary positions included.
// The decoding half, over a cache and one row at a time, is attend.h.
//
// No matrix of positions by positions exists: blocks of queries meet blocks of keys. Forward is an online softmax;
// backward makes a block's probabilities again from the logarithm of each row's sum. With P the probabilities, O the
// output and delta = sum over a row of dO * O (FlashAttention, arXiv 2205.14135):
//   dV += P' dO,  dS = P * (dO V' - delta),  dQ += dS K,  dK += dS' Q.
// Products take inputs in the activations' type and sum in float32. Heads are turned while they are taken apart and
// turned back while their gradients are put together.
//
// A sequence's key/value head is one problem with its own order of sums: blocks of keys ascending forward, query heads
// and blocks of queries ascending backward. How problems are split depends on shapes alone, so bits do not depend on
// threads.
#pragma once

#include "base/parallel.h"
#include "kernels/panels.h"

namespace dsmoe::kernels {

/// Rows of qkv are [H query heads | Hkv key heads | Hkv value heads] of A elements, a row a position, S rows a
/// sequence. Query head h uses key/value head h / (H / Hkv). A is even. Scores are scaled by 1 / sqrt(A).
struct TrainAttention {
  Number type = Number::kF32;  ///< of qkv, out and their gradients
  int64_t batch = 0, positions = 0, heads = 0, kv_heads = 0, head_size = 0;
  const float* cosines = nullptr;  ///< [S, A/2]
  const float* sines = nullptr;
  const void* qkv = nullptr;  ///< [B S, (H + 2 Hkv) A]
  void* out = nullptr;        ///< [B S, H A]; read by the backward pass
  float* log_sum = nullptr;   ///< [B, H, S] log of each row's sum of e^score; read by the backward pass

  int64_t group() const { return heads / kv_heads; }
  int64_t width() const { return (heads + 2 * kv_heads) * head_size; }
};

void attention_forward(const base::ParallelFor& parallel_for, const TrainAttention& a);
void attention_forward_ref(const base::ParallelFor& parallel_for, const TrainAttention& a);

/// grad_qkv from grad_out, of the same shapes and type as qkv and out.
void attention_backward(const base::ParallelFor& parallel_for, const TrainAttention& a, const void* grad_out,
                        void* grad_qkv);
void attention_backward_ref(const base::ParallelFor& parallel_for, const TrainAttention& a, const void* grad_out,
                            void* grad_qkv);

}  // namespace dsmoe::kernels
