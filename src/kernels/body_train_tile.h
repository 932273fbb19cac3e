// Small products inside attention, over the Vec of the including unit. Contract: TileProduct in train_table.h.
//
// Beside those of panels.h, left is read where it lies, cell by cell: with one or two panels on the right, packing it
// would cost as much as the product.
#pragma once

#include "kernels/body_panels.h"
#include "kernels/train_table.h"

namespace dsmoe::kernels {
namespace {

/// Rows of a strip; they divide kTileRowsStep.
constexpr int kTileStrip = kPanelRows >= 8 ? 8 : kPanelRows >= 4 ? 4 : 2;

template <class T>
inline void tile_strip(const TileProduct& t, const T* left, const T* right, float* out) {
  for (int half = 0; half < kPanel / kLanes; half += kPanelVecs) {
    Vec acc[kTileStrip * kPanelVecs];
    const auto place = [&](int i) DSMOE_INLINE {
      return out + i / kPanelVecs * t.out_stride + (half + i % kPanelVecs) * kLanes;
    };
    unrolled<kTileStrip * kPanelVecs>([&](int i) DSMOE_INLINE { acc[i] = t.add ? Vec::load(place(i)) : Vec::zero(); });
    const T* a = left;
    const T* b = right + half * kLanes * kPerCell<T>;
    for (int64_t cell = 0; cell < t.cells; ++cell, a += t.cell_step, b += kPanel * kPerCell<T>) {
      decltype(cells_at(b)) columns[kPanelVecs];
      unrolled<kPanelVecs>([&](int v) DSMOE_INLINE { columns[v] = cells_at(b + v * kLanes * kPerCell<T>); });
      unrolled<kTileStrip>([&](int r) DSMOE_INLINE {
        const auto row = cell_everywhere(a + r * t.row_step);
        unrolled<kPanelVecs>(
            [&](int v) DSMOE_INLINE { acc[r * kPanelVecs + v] = dot(row, columns[v], acc[r * kPanelVecs + v]); });
      });
    }
    unrolled<kTileStrip * kPanelVecs>([&](int i) DSMOE_INLINE { acc[i].store(place(i)); });
  }
}

template <class T>
void tile_product(const TileProduct& t) {
  for (int64_t panel = 0; panel < t.panels; ++panel) {
    const T* right = static_cast<const T*>(t.right) + panel * t.panel_stride;
    for (int64_t row = 0; row < t.rows; row += kTileStrip) {
      tile_strip(t, static_cast<const T*>(t.left) + row * t.row_step, right,
                 t.out + row * t.out_stride + panel * kPanel);
    }
  }
}

}  // namespace
}  // namespace dsmoe::kernels
