// The references of panels.h and slots.h: loops, sums in double.
#include <cmath>
#include <vector>

#include "kernels/panels.h"
#include "kernels/product.h"
#include "kernels/slots.h"

namespace dsmoe::kernels {
namespace {

double number_at(Number type, const void* data, int64_t i) {
  if (type == Number::kF32) return static_cast<const float*>(data)[i];
  return from_bf16(static_cast<const uint16_t*>(data)[i]);
}

/// Through float32, as the fast ones: a sum is rounded to float32 and then to the type it is kept in.
void put_number(Number type, void* data, int64_t i, double x) {
  const auto value = static_cast<float>(x);
  if (type == Number::kF32) {
    static_cast<float*>(data)[i] = value;
  } else {
    static_cast<uint16_t*>(data)[i] = to_bf16(value);
  }
}

/// Element (k, out): `out` counts rows of left or columns of right.
double element(Number type, const RowsView& view, Along along, int64_t k, int64_t out) {
  const int64_t row = along == Along::kOutput ? out : k, column = along == Along::kOutput ? k : out;
  return number_at(type, view.data, (view.index ? view.index[row] : row) * view.stride + column);
}

int64_t packed_place(Number type, int64_t depth, int64_t k, int64_t column) {
  const int64_t even = (depth + 1) / 2 * 2, panel = column / kPanel * kPanel * even, at = column % kPanel;
  return panel + (type == Number::kF32 ? k * kPanel + at : k / 2 * 2 * kPanel + at * 2 + k % 2);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The column of sums (and of panels) that holds gate f; its up value is 16 further.
int64_t gate_column(int64_t f) { return f / 16 * 32 + f % 16; }

void finish_swiglu(Number type, const PanelProduct& p, int64_t m, const std::vector<double>& sums) {
  const int64_t F = p.n / 2;
  for (int64_t f = 0; f < F; ++f) {
    double gate = sums[static_cast<size_t>(gate_column(f))], up = sums[static_cast<size_t>(gate_column(f) + 16)];
    if (p.add) {
      gate += number_at(type, p.add, m * 2 * F + f);
      up += number_at(type, p.add, m * 2 * F + F + f);
    }
    if (p.swiglu.gate_up) {
      put_number(type, p.swiglu.gate_up, m * 2 * F + f, gate);
      put_number(type, p.swiglu.gate_up, m * 2 * F + F + f, up);
    }
    if (p.swiglu.hidden) put_number(type, p.swiglu.hidden, m * F + f, gate * sigmoid(gate) * up);
  }
}

void finish_swiglu_backward(Number type, const PanelProduct& p, int64_t m, const std::vector<double>& sums) {
  const SwigluTile& tile = p.swiglu;
  const int64_t F = p.n;
  const double weight = tile.weight ? tile.weight[m] : 1;
  double grad_weight = 0;
  for (int64_t f = 0; f < F; ++f) {
    const double gate = number_at(type, tile.gate_up, m * 2 * F + f);
    const double up = number_at(type, tile.gate_up, m * 2 * F + F + f);
    const double s = sigmoid(gate), silu = gate * s, grad = sums[static_cast<size_t>(f)];
    grad_weight += grad * silu * up;
    if (tile.hidden) put_number(type, tile.hidden, m * F + f, silu * up * weight);
    // silu'(g) = s (1 + g (1 - s))
    put_number(type, tile.grad_gate_up, m * 2 * F + f, grad * weight * up * s * (1 + gate * (1 - s)));
    put_number(type, tile.grad_gate_up, m * 2 * F + F + f, grad * weight * silu);
  }
  if (tile.grad_weight) tile.grad_weight[m] = static_cast<float>(grad_weight);
}

void finish(Number type, const PanelProduct& p, int64_t m, const std::vector<double>& sums) {
  if (p.epilogue == Epilogue::kSwiglu) return finish_swiglu(type, p, m, sums);
  if (p.epilogue == Epilogue::kSwigluBackward) return finish_swiglu_backward(type, p, m, sums);
  const int64_t row = (p.out_index ? p.out_index[m] : m) * p.out_stride;
  const void* add = p.epilogue == Epilogue::kAdd ? p.out : p.add;
  for (int64_t n = 0; n < p.n; ++n) {
    const double before = add ? number_at(p.out_type, add, row + n) : 0;
    put_number(p.out_type, p.out, row + n, before + sums[static_cast<size_t>(n)]);
  }
}

}  // namespace

void pack_right_ref(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed) {
  for (int64_t i = 0; i < packed_numbers(k, n); ++i) put_number(to, packed, i, 0);
  for (int64_t column = 0; column < n; ++column) {
    for (int64_t i = 0; i < k; ++i) {
      put_number(to, packed, packed_place(to, k, i, column), element(from, source, along, i, column));
    }
  }
}

void pack_gate_up_ref(Number from, const RowsView& gate_up, int64_t k, int64_t width, Number to, void* packed) {
  const int64_t columns = (width + 15) / 16 * 32;
  for (int64_t i = 0; i < packed_numbers(k, columns); ++i) put_number(to, packed, i, 0);
  for (int64_t f = 0; f < width; ++f) {
    for (int64_t i = 0; i < k; ++i) {
      put_number(to, packed, packed_place(to, k, i, gate_column(f)), element(from, gate_up, Along::kOutput, i, f));
      put_number(to, packed, packed_place(to, k, i, gate_column(f) + 16),
                 element(from, gate_up, Along::kOutput, i, width + f));
    }
  }
}

void panel_products_ref(const base::ParallelFor&, Number type, std::span<const PanelProduct> products) {
  for (const PanelProduct& p : products) {
    std::vector<double> sums(static_cast<size_t>((p.n + kPanel - 1) / kPanel * kPanel));
    for (int64_t m = 0; m < p.m; ++m) {
      for (int64_t n = 0; n < static_cast<int64_t>(sums.size()); ++n) {
        double sum = 0;
        for (int64_t k = 0; k < p.k; ++k) {
          const double right = p.right   ? number_at(type, p.right, packed_place(type, p.k, k, n))
                               : n < p.n ? element(type, p.right_rows, Along::kDepth, k, n)
                                         : 0;
          sum += element(type, p.left, p.left_along, k, m) * right;
        }
        sums[static_cast<size_t>(n)] = sum;
      }
      finish(type, p, m, sums);
    }
  }
}

void combine_slots_ref(const base::ParallelFor&, const SlotSum& sum) {
  for (int64_t t = 0; t < sum.tokens; ++t) {
    for (int64_t d = 0; d < sum.width; ++d) {
      double value = sum.add ? number_at(sum.out_type, sum.add, t * sum.width + d) : 0;
      for (int64_t slot = t * sum.slots; slot < (t + 1) * sum.slots; ++slot) {
        if (sum.place[slot] < 0) continue;
        value += (sum.weights ? double{sum.weights[slot]} : 1) *
                 number_at(sum.rows_type, sum.rows, sum.place[slot] * sum.width + d);
      }
      put_number(sum.out_type, sum.out, t * sum.width + d, value);
    }
  }
}

}  // namespace dsmoe::kernels
