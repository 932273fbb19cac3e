// What becomes of a strip's sums against one panel, over the Vec of the including unit. Formulas: panel_product.h.
#pragma once

#include "kernels/body_elementwise.h"
#include "kernels/body_pack.h"

namespace dsmoe::kernels {
namespace {

/// A strip of a block: rows `row` .. `row` + `rows` of the product, against one panel of it.
struct Strip {
  const PanelProduct* product;
  int64_t row, rows, panel;
  const float* sums;  // [rows, kPanel]
  float* lanes;       // [rows, 16] of grad_weight, kSwigluBackward
};

template <class Out>
inline void finish_plain(const Strip& strip) {
  const PanelProduct& p = *strip.product;
  auto* const out = static_cast<Out*>(p.out);
  const auto* const add = static_cast<const Out*>(p.epilogue == Epilogue::kAdd ? p.out : p.add);
  for (int64_t i = 0; i < strip.rows; ++i) {
    const int64_t m = strip.row + i, column = strip.panel * kPanel;
    const int64_t at = (p.out_index ? p.out_index[m] : m) * p.out_stride + column;
    for (int64_t half = 0; half < kPanel && column + half < p.n; half += kLanes) {
      const int64_t n = p.n - column - half;
      Vec sum = Vec::load(strip.sums + i * kPanel + half);
      if (add) sum = load_some(add + at + half, n) + sum;
      store_some(sum, out + at + half, n);
    }
  }
}

inline Vec sigmoid(Vec x) { return Vec::all(1) / (Vec::all(1) + exponential(Vec::zero() - x)); }

template <class T>
inline void finish_swiglu(const Strip& strip) {
  const PanelProduct& p = *strip.product;
  const int64_t F = p.n / 2, f = strip.panel * kLanes, n = F - f;
  auto* const gate_up = static_cast<T*>(p.swiglu.gate_up);
  auto* const hidden = static_cast<T*>(p.swiglu.hidden);
  const auto* const add = static_cast<const T*>(p.add);
  for (int64_t i = 0; i < strip.rows; ++i) {
    const int64_t m = strip.row + i;
    Vec gate = Vec::load(strip.sums + i * kPanel), up = Vec::load(strip.sums + i * kPanel + kLanes);
    if (add) {
      gate = load_some(add + m * 2 * F + f, n) + gate;
      up = load_some(add + m * 2 * F + F + f, n) + up;
    }
    if (gate_up) {
      store_some(gate, gate_up + m * 2 * F + f, n);
      store_some(up, gate_up + m * 2 * F + F + f, n);
    }
    if (hidden) store_some(gate * sigmoid(gate) * up, hidden + m * F + f, n);
  }
}

/// Where one row of a panel lies, so that no store makes the compiler read the product's pointers again.
template <class T>
struct BackwardRow {
  const T* gate;
  const T* up;
  T* hidden;
  T* grad_gate;
  T* grad_up;
  Vec weight;
};

/// Sixteen columns from f on; `grad` is the gradient of the weighted hidden row. Returns share + grad * hidden.
template <class T, class Load, class Store>
inline DSMOE_INLINE Vec backward_columns(const BackwardRow<T>& row, int64_t f, Vec grad, Vec share, const Load& load,
                                         const Store& store) {
  const Vec one = Vec::all(1), gate = load(row.gate + f), up = load(row.up + f);
  const Vec s = sigmoid(gate), silu = gate * s, hidden = silu * up, weighted = grad * row.weight;
  if (row.hidden) store(hidden * row.weight, row.hidden + f);
  const Vec slope = s * fma(gate, one - s, one);  // silu'
  store(weighted * up * slope, row.grad_gate + f);
  store(weighted * silu, row.grad_up + f);
  return fma(grad, hidden, share);
}

template <class T>
inline void finish_swiglu_backward(const Strip& strip) {
  const SwigluTile tile = strip.product->swiglu;
  const int64_t F = strip.product->n, begin = strip.panel * kPanel, end = F - begin < kPanel ? F - begin : kPanel;
  for (int64_t i = 0; i < strip.rows; ++i) {
    const int64_t m = strip.row + i, at = m * 2 * F + begin;
    const T* const gate = static_cast<const T*>(tile.gate_up) + at;
    T* const grad_gate = static_cast<T*>(tile.grad_gate_up) + at;
    const BackwardRow<T> row = {
        gate,      gate + F,      tile.hidden ? static_cast<T*>(tile.hidden) + m * F + begin : nullptr,
        grad_gate, grad_gate + F, Vec::all(tile.weight ? tile.weight[m] : 1.0f)};
    float* const lanes = strip.lanes + i * kLanes;
    Vec share = strip.panel == 0 ? Vec::zero() : Vec::load(lanes);
    int64_t f = 0;
    for (; f + kLanes <= end; f += kLanes) {
      share = backward_columns(
          row, f, Vec::load(strip.sums + i * kPanel + f), share, [](const T* p) DSMOE_INLINE { return Vec::load(p); },
          [](Vec v, T* p) DSMOE_INLINE { v.store(p); });
    }
    if (f < end) {
      share = backward_columns(
          row, f, Vec::load(strip.sums + i * kPanel + f), share,
          [&](const T* p) DSMOE_INLINE { return Vec::load(p, end - f); },
          [&](Vec v, T* p) DSMOE_INLINE { v.store(p, end - f); });
    }
    share.store(lanes);
  }
  if (!tile.grad_weight || begin + kPanel < F) return;
  for (int64_t i = 0; i < strip.rows; ++i) tile.grad_weight[strip.row + i] = sum(Vec::load(strip.lanes + i * kLanes));
}

template <class Out>
inline void plain_lines(const Strip& strip, Lines& lines) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Out));
  const PanelProduct& p = *strip.product;
  const void* const places[2] = {p.out, p.add};
  for (const void* place : places) {
    const Out* const at = static_cast<const Out*>(place) + strip.panel * kPanel;
    if (!place) continue;
    if (p.out_index) {
      for (int64_t i = 0; i < strip.rows; ++i) lines.add(at + p.out_index[strip.row + i] * p.out_stride, kPanel);
      continue;
    }
    for (int64_t i = 0; i < kPanel; i += kLine) {
      lines.add_column(at + strip.row * p.out_stride + i, p.out_stride, strip.rows);
    }
  }
}

/// A line holds two panels' columns of a forward row, so every other panel asks.
template <class T>
inline void swiglu_lines(const Strip& strip, Lines& lines) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const SwigluTile& tile = strip.product->swiglu;
  const bool forward = strip.product->epilogue == Epilogue::kSwiglu;
  const int64_t F = forward ? strip.product->n / 2 : strip.product->n, width = forward ? kLanes : kPanel;
  const int64_t begin = (strip.panel * width + kLine - 1) / kLine * kLine, end = strip.panel * width + width;
  const void* const pairs[2] = {tile.gate_up, forward ? strip.product->add : tile.grad_gate_up};
  for (int64_t f = begin; f < end; f += kLine) {
    for (const void* pair : pairs) {
      const T* const at = static_cast<const T*>(pair) + strip.row * 2 * F + f;
      if (pair) lines.add_column(at, 2 * F, strip.rows), lines.add_column(at + F, 2 * F, strip.rows);
    }
    if (tile.hidden) lines.add_column(static_cast<const T*>(tile.hidden) + strip.row * F + f, F, strip.rows);
  }
}

/// What finish will read and write.
template <class T>
inline void finish_lines(const Strip& strip, Lines& lines) {
  const PanelProduct& p = *strip.product;
  if (p.epilogue == Epilogue::kSwiglu || p.epilogue == Epilogue::kSwigluBackward) return swiglu_lines<T>(strip, lines);
  return p.out_type == Number::kF32 ? plain_lines<float>(strip, lines) : plain_lines<uint16_t>(strip, lines);
}

/// T is the type multiplied in.
template <class T>
inline void finish(const Strip& strip) {
  switch (strip.product->epilogue) {
    case Epilogue::kStore:
    case Epilogue::kAdd:
      return strip.product->out_type == Number::kF32 ? finish_plain<float>(strip) : finish_plain<uint16_t>(strip);
    case Epilogue::kSwiglu:
      return finish_swiglu<T>(strip);
    case Epilogue::kSwigluBackward:
      return finish_swiglu_backward<T>(strip);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
