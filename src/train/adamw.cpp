// Built with -O3 -fno-math-errno (CMakeLists.txt): the loops below vectorise, and still round once per operation.
#include "train/adamw.h"

#include <cmath>

// One body for the machine at hand. Contraction is off, so every clone gives the same bits.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DSMOE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DSMOE_CLONES
#endif

namespace dsmoe::train {
namespace {

// Inlined into each clone, so that it is built for that clone's vectors.
template <class T>
[[gnu::always_inline]] inline void update(const AdamWStep& step, const AdamWArraysOf<T>& arrays, int64_t n) {
  T* __restrict value = arrays.value;
  T* __restrict grad = arrays.grad;
  T* __restrict first = arrays.first_moment;
  T* __restrict second = arrays.second_moment;
  const AdamWStep s = step;
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * s.grad_scale;
    const T m = s.beta1 * first[i] + s.one_minus_beta1 * g;
    const T v = s.beta2 * second[i] + s.one_minus_beta2 * (g * g);
    value[i] = s.keep * value[i] - s.lr * ((m * s.correct1) / (std::sqrt(v * s.correct2) + s.eps));
    first[i] = m;
    second[i] = v;
    grad[i] = 0;
  }
}

template <class T>
[[gnu::always_inline]] inline double squares(const T* values, int64_t n) {
  constexpr int64_t kLanes = 16;  // sixteen running sums whatever the vector width
  double lanes[kLanes] = {};
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      const double x = values[i + j];
      lanes[j] += x * x;
    }
  }
  for (int64_t i = whole; i < n; ++i)
    lanes[i - whole] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

AdamWStep AdamWStep::make(const AdamWOptions& options, double lr, double grad_scale, int64_t t, bool decay) {
  const auto count = static_cast<double>(t);
  return {.beta1 = static_cast<float>(options.beta1),
          .one_minus_beta1 = static_cast<float>(1 - options.beta1),
          .beta2 = static_cast<float>(options.beta2),
          .one_minus_beta2 = static_cast<float>(1 - options.beta2),
          .correct1 = static_cast<float>(1 / (1 - std::pow(options.beta1, count))),
          .correct2 = static_cast<float>(1 / (1 - std::pow(options.beta2, count))),
          .eps = static_cast<float>(options.eps),
          .lr = static_cast<float>(lr),
          .keep = decay ? static_cast<float>(1 - lr * options.weight_decay) : 1.0F,
          .grad_scale = static_cast<float>(grad_scale)};
}

void adamw_update_ref(const AdamWStep& step, const AdamWArrays& arrays, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    volatile float m = 0, v = 0;  // volatile: keeps this loop scalar, so that it is an independent definition
    const float g = arrays.grad[i] * step.grad_scale;
    m = step.beta1 * arrays.first_moment[i] + step.one_minus_beta1 * g;
    v = step.beta2 * arrays.second_moment[i] + step.one_minus_beta2 * (g * g);
    const float change = (m * step.correct1) / (std::sqrt(v * step.correct2) + step.eps);
    arrays.value[i] = step.keep * arrays.value[i] - step.lr * change;
    arrays.first_moment[i] = m;
    arrays.second_moment[i] = v;
    arrays.grad[i] = 0;
  }
}

DSMOE_CLONES void adamw_update(const AdamWStep& step, const AdamWArrays& arrays, int64_t n) { update(step, arrays, n); }

void adamw_update(const AdamWStep& step, const AdamWArraysOf<double>& arrays, int64_t n) { update(step, arrays, n); }

DSMOE_CLONES double sum_of_squares(const float* values, int64_t n) { return squares(values, n); }

double sum_of_squares(const double* values, int64_t n) { return squares(values, n); }

}  // namespace dsmoe::train
