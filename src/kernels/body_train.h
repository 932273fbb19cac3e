// The training step's kernels along rows and tiles, over the Vec of the including unit. Contracts: train_table.h.
#pragma once

#include "kernels/body_elementwise.h"
#include "kernels/body_train_tile.h"
#include "kernels/train_table.h"

namespace dsmoe::kernels {
namespace {

template <class T>
inline void store_zeros(T* out, int64_t n) {
  each_vec(n, [&](int64_t i, int64_t lanes) { Vec::zero().store(out + i, lanes); });
}

/// Vectors of 16 whole and then the rest: masks cost more than they save inside.
template <class Step>
inline void each_vec_whole_first(int64_t n, const Step& step) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    step([&](auto* p) { return Vec::load(p + i); }, [&](const Vec& v, auto* p) { v.store(p + i); });
  }
  if (i < n) {
    step([&](auto* p) { return Vec::load(p + i, n - i); }, [&](const Vec& v, auto* p) { v.store(p + i, n - i); });
  }
}

/// out = e^(x - top) in T and the sum of the unrounded values.
template <class T>
inline float exponentials_to(const float* x, float top, int64_t n, T* out) {
  const Vec below = Vec::all(top);
  Vec total = Vec::zero();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = exponential(Vec::load(x + i) - below);
    e.store(out + i);
    total = total + e;
  }
  if (i < n) {
    float rest[kLanes];
    exponential(Vec::load(x + i, n - i) - below).store(rest);
    const Vec e = Vec::load(rest, n - i);
    e.store(out + i, n - i);
    total = total + e;
  }
  return sum(total);
}

template <class T>
inline float top_of(const T* x, int64_t n) {
  if (n < kLanes) {  // the missing lanes repeat the first number
    float few[kLanes];
    Vec::load(x, n).store(few);
    for (int64_t i = n; i < kLanes; ++i) few[i] = few[0];
    return largest(Vec::load(few));
  }
  Vec top = Vec::load(x + n - kLanes);  // the last sixteen, some of them twice
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) top = max(top, Vec::load(x + i));
  return largest(top);
}

/// The new running maxima, and by what factor they make smaller what was relative to the old ones.
inline void raise_tops(const SoftmaxTile& t, float* factors) {
  for (int64_t row = 0; row < t.rows; ++row) {
    const int64_t seen = t.lead + row + 1 < t.keys ? t.lead + row + 1 : t.keys;
    const float top = top_of(t.scores + row * t.stride, seen), before = t.top[row];
    factors[row] = top > before ? before - top : 0;
    t.top[row] = top > before ? top : before;
  }
  each_vec_whole_first(t.rows, [&](auto load, auto store) {
    const Vec factor = exponential(load(factors));
    store(factor, factors);
    store(load(t.total) * factor, t.total);
  });
}

template <class T>
void softmax_tile(const SoftmaxTile& t) {
  float factors[kMostTileRows];
  raise_tops(t, factors);
  for (int64_t row = 0; row < t.rows; ++row) {
    if (factors[row] != 1) {
      const Vec factor = Vec::all(factors[row]);
      float* out = t.out + row * t.width;
      each_vec_whole_first(t.width, [&](auto load, auto store) { store(load(out) * factor, out); });
    }
    const int64_t seen = t.lead + row + 1 < t.keys ? t.lead + row + 1 : t.keys;
    T* p = static_cast<T*>(t.p) + row * t.stride;
    t.total[row] += exponentials_to(t.scores + row * t.stride, t.top[row], seen, p);
    store_zeros(p + seen, (t.keys + 1) / 2 * 2 - seen);
  }
}

template <class T>
inline void softmax_grad_key(const SoftmaxGradTile& t, int64_t key) {
  const float *scores = t.scores + key * t.stride, *grad_p = t.grad_p + key * t.stride;
  T *p_out = static_cast<T*>(t.p) + key * t.stride, *grad_out = static_cast<T*>(t.grad_scores) + key * t.stride;
  each_vec_whole_first(t.queries, [&](auto load, auto store) {
    const Vec p = exponential(load(scores) - load(t.log_sum));
    store(p, p_out);
    store(p * (load(grad_p) - load(t.delta)), grad_out);
  });
  store_zeros(p_out + t.queries, t.queries % 2);
  store_zeros(grad_out + t.queries, t.queries % 2);
  const int64_t blind = key - t.lead < t.queries ? key - t.lead : t.queries;  // queries before this key
  if (blind > 0) {
    store_zeros(p_out, blind);
    store_zeros(grad_out, blind);
  }
}

inline void pair_rows(const SoftmaxGradTile& t, int64_t key) {
  static constexpr uint16_t kZeros[kLanes] = {};
  const uint16_t* even = static_cast<const uint16_t*>(t.grad_scores) + key * t.stride;
  uint16_t* out = static_cast<uint16_t*>(t.grad_pairs) + key * t.stride;
  for (int64_t i = 0; i < t.queries; i += kLanes) {
    interleave(even + i, key + 1 < t.keys ? even + t.stride + i : kZeros, kLanes, out + 2 * i);
  }
}

template <class T>
void softmax_grad_tile(const SoftmaxGradTile& t) {
  for (int64_t key = 0; key < t.keys; key += 2) {
    softmax_grad_key<T>(t, key);
    if (key + 1 < t.keys) softmax_grad_key<T>(t, key + 1);
    if constexpr (sizeof(T) == 2) pair_rows(t, key);
  }
}

template <class In, class Out>
inline void rotate_rows(const Rotation& r) {
  const Vec scale = Vec::all(r.scale), turn = Vec::all(r.scale * r.direction);
  const In* x = static_cast<const In*>(r.x);
  Out* out = static_cast<Out*>(r.out);
  const float *cosines = r.cosines, *sines = r.sines;
  const int64_t half = r.half;
  for (int64_t row = 0; row < r.rows; ++row, x += r.x_stride, out += r.out_stride, cosines += half, sines += half) {
    each_vec_whole_first(half, [&](auto load, auto store) {
      const Vec a = load(x), b = load(x + half), c = load(cosines) * scale, s = load(sines) * turn;
      store(a * c - b * s, out);
      store(b * c + a * s, out + half);
    });
  }
}
template <class T>
void rotate(const Rotation& r) {
  rotate_rows<T, T>(r);
}
template <class T>
void rotate_sums(const Rotation& r) {
  rotate_rows<float, T>(r);
}

template <class T>
void scaled_rows(const ScaledRows& r) {
  for (int64_t row = 0; row < r.rows; ++row) {
    const Vec factor = Vec::all(r.factors ? r.factors[row] : 1.0f);
    const float* x = r.x + row * r.x_stride;
    T* out = static_cast<T*>(r.out) + row * r.out_stride;
    each_vec_whole_first(r.n, [&](auto load, auto store) { store(load(x) * factor, out); });
  }
}

template <class T>
inline float dot_of(const T* a, const T* b, int64_t n) {
  Vec total = Vec::zero();
  each_vec_whole_first(n, [&](auto load, auto) { total = fma(load(a), load(b), total); });
  return sum(total);
}
template <class T>
void row_dots(const RowDots& d) {
  const T *a = static_cast<const T*>(d.a), *b = static_cast<const T*>(d.b);
  for (int64_t row = 0; row < d.rows; ++row) d.out[row] = dot_of(a + row * d.stride, b + row * d.stride, d.n);
}

template <class T>
void exponential_sum(const void* data, int64_t n, float* top, float* total) {
  const T* x = static_cast<const T*>(data);
  *top = top_of(x, n);
  const Vec below = Vec::all(*top);
  Vec sums = Vec::zero();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums = sums + exponential(Vec::load(x + i) - below);
  if (i < n) {
    float rest[kLanes];
    exponential(Vec::load(x + i, n - i) - below).store(rest);
    sums = sums + Vec::load(rest, n - i);
  }
  *total = sum(sums);
}

template <class T>
void softmax_grad_row(void* data, int64_t n, float log_sum, float scale) {
  T* x = static_cast<T*>(data);
  const Vec below = Vec::all(log_sum), factor = Vec::all(scale);
  each_vec_whole_first(n, [&](auto load, auto store) { store(exponential(load(x) - below) * factor, x); });
}

template <class T>
float norm_row(const void* data, const void* weight_data, int64_t n, double eps, void* out_data) {
  const T *x = static_cast<const T*>(data), *weight = static_cast<const T*>(weight_data);
  T* out = static_cast<T*>(out_data);
  Vec squares = Vec::zero();
  each_vec_whole_first(n, [&](auto load, auto) {
    const Vec v = load(x);
    squares = fma(v, v, squares);
  });
  const double mean = static_cast<double>(sum(squares)) / static_cast<double>(n);
  const auto inverse = static_cast<float>(1.0 / __builtin_sqrt(mean + eps));
  const Vec r = Vec::all(inverse);
  each_vec_whole_first(n, [&](auto load, auto store) {
    store(load(x) * r, out);  // through memory, where it is rounded before the weight comes
    store(load(out) * load(weight), out);
  });
  return inverse;
}

template <class T>
void norm_grad_row(const NormGradRow& row) {
  const T *x = static_cast<const T*>(row.x), *grad = static_cast<const T*>(row.grad_y);
  const T *weight = static_cast<const T*>(row.weight), *add = static_cast<const T*>(row.add);
  T* out = static_cast<T*>(row.grad_x);
  const Vec r = Vec::all(row.inverse);
  Vec products = Vec::zero();
  each_vec_whole_first(row.n, [&](auto load, auto store) {
    const Vec g = load(grad), normed = load(x) * r;
    products = fma(g * load(weight), normed, products);
    store(fma(g, normed, load(row.grad_weight)), row.grad_weight);
  });
  const Vec mean = Vec::all(sum(products) / static_cast<float>(row.n));
  each_vec_whole_first(row.n, [&](auto load, auto store) {
    const Vec inner = load(grad) * load(weight) - load(x) * r * mean;
    store(add ? fma(inner, r, load(add)) : inner * r, out);
  });
}

void softmax_grad(const float* scores, float* grad, int64_t n) {
  const Vec inner = Vec::all(dot_of(scores, static_cast<const float*>(grad), n));
  each_vec_whole_first(n, [&](auto load, auto store) { store(load(scores) * (load(grad) - inner), grad); });
}

constexpr TrainTable kTrain = {
    {tile_product<float>, tile_product<uint16_t>},
    {softmax_tile<float>, softmax_tile<uint16_t>},
    {softmax_grad_tile<float>, softmax_grad_tile<uint16_t>},
    {rotate<float>, rotate<uint16_t>},
    {rotate_sums<float>, rotate_sums<uint16_t>},
    {scaled_rows<float>, scaled_rows<uint16_t>},
    {row_dots<float>, row_dots<uint16_t>},
    {exponential_sum<float>, exponential_sum<uint16_t>},
    {softmax_grad_row<float>, softmax_grad_row<uint16_t>},
    {norm_row<float>, norm_row<uint16_t>},
    {norm_grad_row<float>, norm_grad_row<uint16_t>},
    softmax_grad,
};

}  // namespace
}  // namespace dsmoe::kernels
