// RMSNorm of the training step, forward and backward in one pass each, as the released model computes it: in float32,
// rounded to the activations' type, then times the weight.
#pragma once

#include "base/parallel.h"
#include "kernels/panel_product.h"

namespace dsmoe::kernels {

/// y = round(x r) * w with r = (mean of x^2 + eps)^-1/2, row by row.
struct TrainNorm {
  Number type = Number::kF32;  ///< of x, weight, y and their gradients
  int64_t rows = 0, width = 0;
  double eps = 0;
  const void* x = nullptr;       ///< [T, D]
  const void* weight = nullptr;  ///< [D]
  float* inverse = nullptr;      ///< [T] r; read by the backward pass
};

void train_norm(const base::ParallelFor& parallel_for, const TrainNorm& norm, void* y);
void train_norm_ref(const base::ParallelFor& parallel_for, const TrainNorm& norm, void* y);

/// With n = x r: grad_x = r (grad w - n mean(grad w n)) + add, and grad_weight = sum over rows of grad n. Sums over
/// rows are in pieces of fixed size, added in ascending order.
struct TrainNormGrad {
  const void* grad_y = nullptr;  ///< [T, D]
  const void* add = nullptr;     ///< [T, D] gradient of x from elsewhere (a residual); null: none
  void* grad_x = nullptr;        ///< [T, D]
  float* grad_weight = nullptr;  ///< [D]
};
void train_norm_backward(const base::ParallelFor& parallel_for, const TrainNorm& norm, const TrainNormGrad& grad);
void train_norm_backward_ref(const base::ParallelFor& parallel_for, const TrainNorm& norm, const TrainNormGrad& grad);

}  // namespace dsmoe::kernels
