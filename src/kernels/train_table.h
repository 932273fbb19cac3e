// The nouns of the training step's kernels along rows and tiles, and their row of functions. Contracts of what callers
// see: train_attention.h, train_rows.h. Seen by the units built for an instruction set: no more than they may include.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

/// Scores of some queries against one block of keys become probabilities, under a running maximum (online softmax).
struct SoftmaxTile {
  const float* scores = nullptr;  ///< [rows, stride]
  int64_t rows = 0, keys = 0, stride = 0;
  int64_t lead = 0;        ///< row i sees keys 0 .. lead + i; lead >= 0
  float* top = nullptr;    ///< [rows] running maxima
  float* total = nullptr;  ///< [rows] running sums of e^(score - top)
  float* out = nullptr;    ///< [rows, width] running outputs, scaled down where a maximum grows
  int64_t width = 0;
  void* p = nullptr;  ///< [rows, stride] e^(score - top), 0 where unseen
};

/// The way back, keys by queries: scores and their gradients from products, in a pass over both.
struct SoftmaxGradTile {
  const float* scores = nullptr;  ///< [keys, stride]
  const float* grad_p = nullptr;  ///< [keys, stride]
  int64_t keys = 0, queries = 0, stride = 0;
  int64_t lead = 0;                ///< query i sees keys 0 .. lead + i
  const float* log_sum = nullptr;  ///< [queries]
  const float* delta = nullptr;    ///< [queries] sum over keys of p * grad_p
  void* p = nullptr;               ///< [keys, stride] e^(score - log_sum), 0 where unseen
  void* grad_scores = nullptr;     ///< [keys, stride] p * (grad_p - delta)
};

/// One head of one row turned by its position's angles: out = scale * (x cos + direction * rotate_half(x) sin).
struct Rotation {
  const float* cosines = nullptr;  ///< [half]
  const float* sines = nullptr;
  int64_t half = 0;
  float scale = 1, direction = 1;
};

/// Functions by the type of activations: index is a Number, 0 float32 and 1 bf16.
struct TrainTable {
  void (*softmax_tile[2])(const SoftmaxTile& tile);
  void (*softmax_grad_tile[2])(const SoftmaxGradTile& tile);
  void (*rotate[2])(const Rotation& rotation, const void* x, void* out);
  void (*rotate_sums[2])(const Rotation& rotation, const float* x, void* out);  ///< from float32 to the type
  void (*scaled[2])(const float* x, float factor, int64_t n, void* out);        ///< out = factor * x, rounded once
  float (*dot[2])(const void* a, const void* b, int64_t n);
};

}  // namespace dsmoe::kernels
