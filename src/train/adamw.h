// The arithmetic of AdamW on plain float32 arrays: decoupled weight decay, bias-corrected moments.
//
// Element by element, so no number depends on threads, chunks or instruction sets (no FMA contraction, IEEE division
// and square root). The optimiser over a model's tensors is optimizer.h.
#pragma once

#include <cstdint>

namespace dsmoe::train {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
};

/// One update's coefficients, float32 once for all elements.
struct AdamWStep {
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float correct1, correct2;  ///< 1 / (1 - beta^t), t counting from 1
  float eps, lr;
  float keep;        ///< 1 - lr * weight_decay, or 1 for an undecayed array
  float grad_scale;  ///< multiplies every gradient: the clipping factor

  static AdamWStep make(const AdamWOptions& options, double lr, double grad_scale, int64_t t, bool decay);
};

/// One element's four numbers in memory: arrays of n, not overlapping.
template <class T>
struct AdamWArraysOf {
  T* value;
  T* grad;  ///< read, then set to zero, so that the next backward can add to it
  T* first_moment;
  T* second_moment;
};
using AdamWArrays = AdamWArraysOf<float>;

/// g = grad * grad_scale;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
/// value = keep * value - lr * (m c1) / (sqrt(v c2) + eps);  grad = 0.
void adamw_update_ref(const AdamWStep& step, const AdamWArrays& arrays, int64_t n);
/// The same bits, vectorised.
void adamw_update(const AdamWStep& step, const AdamWArrays& arrays, int64_t n);
/// The same in double, for tests of laws; coefficients stay float32.
void adamw_update(const AdamWStep& step, const AdamWArraysOf<double>& arrays, int64_t n);

/// Sum of squares in double; its order is a function of n alone.
double sum_of_squares(const float* values, int64_t n);
double sum_of_squares(const double* values, int64_t n);

}  // namespace dsmoe::train
