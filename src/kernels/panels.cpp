#include "kernels/panels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/product.h"
#include "kernels/slots.h"

namespace dsmoe::kernels {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

float number_at(Number type, const void* data, int64_t i) {
  return type == Number::kF32 ? static_cast<const float*>(data)[i] : from_bf16(static_cast<const uint16_t*>(data)[i]);
}
void put_number(Number type, void* data, int64_t i, float value) {
  if (type == Number::kF32) {
    static_cast<float*>(data)[i] = value;
  } else {
    static_cast<uint16_t*>(data)[i] = to_bf16(value);
  }
}
int64_t row_at(const RowsView& view, int64_t row) { return (view.index ? view.index[row] : row) * view.stride; }
float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

void finish_swiglu(Number type, const PanelProduct& p, int64_t m, const float* sums) {
  const int64_t F = p.n / 2;
  for (int64_t f = 0; f < F; ++f) {
    const float gate = sums[f / 16 * 32 + f % 16], up = sums[f / 16 * 32 + f % 16 + 16];
    if (p.swiglu.gate_up) {
      put_number(type, p.swiglu.gate_up, m * 2 * F + f, gate);
      put_number(type, p.swiglu.gate_up, m * 2 * F + F + f, up);
    }
    if (p.swiglu.hidden) put_number(type, p.swiglu.hidden, m * F + f, gate * sigmoid(gate) * up);
  }
}

void finish_swiglu_backward(Number type, const PanelProduct& p, int64_t m, const float* sums) {
  const SwigluTile& tile = p.swiglu;
  const int64_t F = p.n;
  const float weight = tile.weight ? tile.weight[m] : 1;
  float grad_weight = 0;
  for (int64_t f = 0; f < F; ++f) {
    const float gate = number_at(type, tile.gate_up, m * 2 * F + f);
    const float up = number_at(type, tile.gate_up, m * 2 * F + F + f);
    const float s = sigmoid(gate), silu = gate * s, grad = sums[f];
    grad_weight += grad * (silu * up);
    if (tile.hidden) put_number(type, tile.hidden, m * F + f, silu * up * weight);
    put_number(type, tile.grad_gate_up, m * 2 * F + f, grad * weight * up * (s * (1 + gate * (1 - s))));
    put_number(type, tile.grad_gate_up, m * 2 * F + F + f, grad * weight * silu);
  }
  if (tile.grad_weight) tile.grad_weight[m] = grad_weight;
}

void finish(Number type, const PanelProduct& p, int64_t m, const float* sums) {
  if (p.epilogue == Epilogue::kSwiglu) return finish_swiglu(type, p, m, sums);
  if (p.epilogue == Epilogue::kSwigluBackward) return finish_swiglu_backward(type, p, m, sums);
  const int64_t row = (p.out_index ? p.out_index[m] : m) * p.out_stride;
  const void* add = p.epilogue == Epilogue::kAdd ? p.out : p.add;
  for (int64_t n = 0; n < p.n; ++n) {
    put_number(p.out_type, p.out, row + n, (add ? number_at(p.out_type, add, row + n) : 0) + sums[n]);
  }
}

/// Sums of one row against every panel: for pairs of k, the even and then the odd one.
void row_sums(Number type, const PanelProduct& p, int64_t m, float* left, float* sums) {
  for (int64_t k = 0; k < p.k; ++k) {
    left[k] = p.left_along == Along::kOutput ? number_at(type, p.left.data, row_at(p.left, m) + k)
                                             : number_at(type, p.left.data, row_at(p.left, k) + m);
  }
  const int64_t even = (p.k + 1) / 2 * 2;
  if (p.k % 2) left[p.k] = 0;
  const int64_t panels = (p.n + kPanel - 1) / kPanel;
  for (int64_t panel = 0; panel < panels; ++panel) {
    float tile[kPanel] = {};
    for (int64_t k = 0; k < even; ++k) {
      if (type == Number::kF32) {
        const float* right = static_cast<const float*>(p.right) + panel * kPanel * even + k * kPanel;
        for (int64_t n = 0; n < kPanel; ++n) tile[n] += left[k] * right[n];
      } else {
        const uint16_t* right =
            static_cast<const uint16_t*>(p.right) + panel * kPanel * even + k / 2 * 2 * kPanel + k % 2;
        for (int64_t n = 0; n < kPanel; ++n) tile[n] += left[k] * from_bf16(right[n * 2]);
      }
    }
    std::copy_n(tile, kPanel, sums + panel * kPanel);
  }
}

void product_rows(Number type, const PanelProduct& p, int64_t begin, int64_t end) {
  thread_local std::vector<float> left, sums;
  left.resize(at(p.k + 1));
  sums.resize(at((p.n + kPanel - 1) / kPanel * kPanel));
  for (int64_t m = begin; m < end; ++m) {
    row_sums(type, p, m, left.data(), sums.data());
    finish(type, p, m, sums.data());
  }
}

}  // namespace

void pack_right(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed) {
  pack_right_ref(from, source, along, k, n, to, packed);
}

void pack_gate_up(Number from, const RowsView& gate_up, int64_t k, int64_t width, Number to, void* packed) {
  pack_gate_up_ref(from, gate_up, k, width, to, packed);
}

void panel_products(const base::ParallelFor& parallel_for, Number type, std::span<const PanelProduct> products) {
  for (const PanelProduct& product : products) {
    PanelProduct p = product;
    std::vector<float> packed;  // room for either type
    if (!p.right) {
      packed.resize(at(packed_numbers(p.k, p.n) + 1));
      pack_right(type, p.right_rows, Along::kDepth, p.k, p.n, type, packed.data());
      p.right = packed.data();
    }
    parallel_for(p.m, 16, [&](int64_t begin, int64_t end) { product_rows(type, p, begin, end); });
  }
}

void panel_product(Number type, const PanelProduct& product) { panel_products(base::serial_for, type, {&product, 1}); }

void combine_slots(const base::ParallelFor& parallel_for, const SlotSum& sum) {
  parallel_for(sum.tokens, 32, [&](int64_t begin, int64_t end) {
    std::vector<float> row(at(sum.width));
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t d = 0; d < sum.width; ++d) {
        row[at(d)] = sum.add ? number_at(sum.out_type, sum.add, t * sum.width + d) : 0;
      }
      for (int64_t slot = t * sum.slots; slot < (t + 1) * sum.slots; ++slot) {
        if (sum.place[slot] < 0) continue;
        const float weight = sum.weights ? sum.weights[slot] : 1;
        for (int64_t d = 0; d < sum.width; ++d) {
          row[at(d)] += weight * number_at(sum.rows_type, sum.rows, sum.place[slot] * sum.width + d);
        }
      }
      for (int64_t d = 0; d < sum.width; ++d) put_number(sum.out_type, sum.out, t * sum.width + d, row[at(d)]);
    }
  });
}

}  // namespace dsmoe::kernels
