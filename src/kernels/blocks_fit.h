// Searching the scale (and minimum) of a few values that become small integers: for blocks_quantise.cpp.
//
// Given integers q, the best scale is a least squares fit; given a scale, the best integers are rounded ones. The
// search tries a row of scales around that of the largest value, fits each, and keeps the fit with the least error.
// Sums run in sixteen lanes, so that plain loops become vector code; integers are kept as floats.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace dsmoe::kernels {

/// Below this half floats hold no scale at all, and reciprocals would leave float32.
inline constexpr float kVanishing = 1e-20f;
/// Above this a scale saturates (65504 times the largest integer) and sums of squares could leave float32.
inline constexpr float kEnormous = 1e8f;

/// To the nearest integer, ties to even, |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
inline float nearest_integer(float x) { return (x + 12582912.0f) - 12582912.0f; }
inline float clamped(float x, float low, float high) { return std::min(std::max(x, low), high); }

/// Sums over N values (a multiple of 16): of q, q q, x, x q.
struct FitSums {
  float q = 0, qq = 0, x = 0, xq = 0;
};

/// q = clamp(round((x - origin) * inverse)) for N values, and their sums with x - origin.
template <int N>
FitSums fit_sums(const float* x, float origin, float inverse, float low, float high) {
  constexpr int kLanes = 16;
  static_assert(N % kLanes == 0);
  float q_sum[kLanes] = {}, qq_sum[kLanes] = {}, x_sum[kLanes] = {}, xq_sum[kLanes] = {};
  for (int i = 0; i < N; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float value = x[i + l] - origin;
      const float q = clamped(nearest_integer(value * inverse), low, high);
      q_sum[l] += q;
      qq_sum[l] += q * q;
      x_sum[l] += value;
      xq_sum[l] += value * q;
    }
  }
  FitSums sums;
  for (int l = 0; l < kLanes; ++l) {
    sums.q += q_sum[l];
    sums.qq += qq_sum[l];
    sums.x += x_sum[l];
    sums.xq += xq_sum[l];
  }
  return sums;
}

/// Sum of squared errors of x against step * q + offset, q the nearest integers.
template <int N>
float squared_error(const float* x, float step, float offset, float low, float high) {
  constexpr int kLanes = 16;
  const float inverse = std::abs(step) > kVanishing ? 1 / step : 0;
  float error[kLanes] = {};
  for (int i = 0; i < N; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float q = clamped(nearest_integer((x[i + l] - offset) * inverse), low, high);
      const float difference = x[i + l] - (step * q + offset);
      error[l] += difference * difference;
    }
  }
  float sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += error[l];
  return sum;
}

/// The value of largest magnitude, its sign kept.
template <int N>
float extreme_of(const float* x) {
  float extreme = 0;
  for (int i = 0; i < N; ++i) {
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  }
  return extreme;
}

/// How far scales are searched: the largest value's own integer is `reach` (as if integers went that far), in steps.
struct Search {
  float from, to, step;
};

/// The scale d for which d * q is nearest to x, q in low .. high (low < 0). May be negative: the largest value tends to
/// take `low`, which reaches one further than `high`.
template <int N>
float fit_scale(const float* x, float low, float high, Search search) {
  const float extreme = extreme_of<N>(x);
  if (std::abs(extreme) < kVanishing) return 0;
  float best = extreme / low;
  if (std::abs(extreme) > kEnormous) return best;
  float best_gain = -1;
  for (float reach = search.from; reach <= search.to; reach += search.step) {
    for (const float sign : {-1.0f, 1.0f}) {
      const FitSums sums = fit_sums<N>(x, 0, sign * reach / extreme, low, high);
      if (sums.qq <= 0) continue;
      const float gain = sums.xq * sums.xq / sums.qq;  // the error is sum x^2 less this
      if (gain > best_gain) {
        best_gain = gain;
        best = sums.xq / sums.qq;
      }
    }
  }
  return best;
}

/// A fit of x by step * q + offset, q in 0 .. high.
struct AffineFit {
  float step = 0, offset = 0;
};

/// The best of them; with `offset_below_zero` among those whose offset is not above zero.
template <int N>
AffineFit fit_affine(const float* x, float high, bool offset_below_zero, Search search) {
  float smallest = x[0], largest = x[0];
  for (int i = 1; i < N; ++i) {
    smallest = std::min(smallest, x[i]);
    largest = std::max(largest, x[i]);
  }
  if (offset_below_zero) smallest = std::min(smallest, 0.0f);
  const float range = largest - smallest;
  if (!(range > kVanishing)) return {0, smallest};
  AffineFit best{range / high, smallest};
  if (range > kEnormous) return best;
  float best_gain = -1;
  for (float reach = search.from; reach <= search.to; reach += search.step) {
    const FitSums sums = fit_sums<N>(x, smallest, reach / range, 0, high);
    const float determinant = N * sums.qq - sums.q * sums.q;
    if (determinant <= 0) continue;
    float step = (N * sums.xq - sums.q * sums.x) / determinant;
    float offset = (sums.qq * sums.x - sums.q * sums.xq) / determinant;
    float gain = step * sums.xq + offset * sums.x;
    if (offset_below_zero && smallest + offset > 0) {  // the best offset allowed is zero: refit the step alone
      offset = -smallest;
      step = (sums.xq - offset * sums.q) / sums.qq;
      const float slack = 2 * offset * sums.x - N * offset * offset + step * step * sums.qq;
      gain = slack;
    }
    if (step > 0 && gain > best_gain) {
      best_gain = gain;
      best = {step, smallest + offset};
    }
  }
  return best;
}

}  // namespace dsmoe::kernels
