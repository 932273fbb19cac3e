// Blocks of grouped products, over the Vec of the including unit. Definition and contract: panels.h.
//
// A block packs some rows of left once and takes the panels one after another: a panel stays in the nearest cache while
// strips of kPanelRows rows pass by it, each strip's sums in registers. Every sum is one chain over ascending cells.
#pragma once

#include "kernels/body_epilogue.h"
#include "kernels/body_pack.h"

namespace dsmoe::kernels {
namespace {

inline Vec dot(Vec a, Vec b, Vec c) { return fma(a, b, c); }
inline Vec cells_at(const float* p) { return Vec::load(p); }
inline Pairs cells_at(const uint16_t* p) { return Pairs::load(p); }
inline Vec cell_everywhere(const float* p) { return Vec::all(*p); }
inline Pairs cell_everywhere(const uint16_t* p) { return Pairs::all(p); }

/// sums [Rows, kPanel] of a packed strip times a panel; they begin at zero or at what is there.
template <int Rows, class T>
void strip_sums(const T* left, const T* right, int64_t cells, bool first, float* sums) {
  constexpr int64_t kWidth = padded_to_four(Rows) * kPerCell<T>;
  for (int half = 0; half < kPanel / kLanes; half += kPanelVecs) {
    Vec acc[Rows * kPanelVecs];
    unrolled<Rows * kPanelVecs>([&](int i) DSMOE_INLINE {
      float* const at = sums + i / kPanelVecs * kPanel + (half + i % kPanelVecs) * kLanes;
      acc[i] = first ? Vec::zero() : Vec::load(at);
    });
    const T* a = left;
    const T* b = right + half * kLanes * kPerCell<T>;
    for (int64_t cell = 0; cell < cells; ++cell, a += kWidth, b += kPanel * kPerCell<T>) {
      decltype(cells_at(b)) columns[kPanelVecs];
      unrolled<kPanelVecs>([&](int v) DSMOE_INLINE { columns[v] = cells_at(b + v * kLanes * kPerCell<T>); });
      unrolled<Rows>([&](int r) DSMOE_INLINE {
        const auto row = cell_everywhere(a + r * kPerCell<T>);
        unrolled<kPanelVecs>(
            [&](int v) DSMOE_INLINE { acc[r * kPanelVecs + v] = dot(row, columns[v], acc[r * kPanelVecs + v]); });
      });
    }
    unrolled<Rows * kPanelVecs>(
        [&](int i) DSMOE_INLINE { acc[i].store(sums + i / kPanelVecs * kPanel + (half + i % kPanelVecs) * kLanes); });
  }
}

/// The same for any number of rows up to Rows.
template <int Rows, class T>
inline void any_strip_sums(int64_t rows, const T* left, const T* right, int64_t cells, bool first, float* sums) {
  if constexpr (Rows > 1) {
    if (rows != Rows) return any_strip_sums<Rows - 1>(rows, left, right, cells, first, sums);
  }
  strip_sums<Rows>(left, right, cells, first, sums);
}

/// Strips of nearly equal height.
inline int64_t strips_of(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }
inline int64_t strip_begin(int64_t rows, int64_t strip) { return rows * strip / strips_of(rows); }

/// A block's packed operands for some cells of k, and where its sums are.
template <class T>
struct PackedCells {
  const T* left;
  const T* right;
  int64_t right_stride;  // numbers of a panel
  int64_t cells;
  bool first, last;
  float* sums;
  int64_t sums_stride;  // floats of a panel's sums; 0: they leave at once and one strip's place is enough
  float* lanes;
};

/// Numbers of a packed strip of left rows.
template <class T>
inline int64_t strip_numbers(int64_t rows, int64_t cells) {
  return padded_to_four(rows) * (cells + 3) / 4 * 4 * kPerCell<T>;
}

template <class T>
void panel_sums(const PanelBlock& b, const PackedCells<T>& packed) {
  for (int64_t panel = 0; panel < b.panels; ++panel) {
    const T* const right = packed.right + panel * packed.right_stride;
    const T* left = packed.left;
    for (int64_t s = 0; s < strips_of(b.rows); ++s) {
      const int64_t row = strip_begin(b.rows, s), rows = strip_begin(b.rows, s + 1) - row;
      float* const sums = packed.sums + (packed.sums_stride ? panel * packed.sums_stride + row * kPanel : 0);
      any_strip_sums<kPanelRows>(rows, left, right, packed.cells, packed.first, sums);
      left += strip_numbers<T>(rows, packed.cells);
      if (packed.last) {
        finish<T>({b.product, b.row + row, rows, b.panel + panel, sums, packed.lanes + row * kLanes});
      }
    }
  }
}

template <class T>
void pack_left(const PanelBlock& b, int64_t k0, int64_t k_end, T* out) {
  const PanelProduct& p = *b.product;
  const int64_t cells = (k_end - k0 + kPerCell<T> - 1) / kPerCell<T>;
  for (int64_t s = 0; s < strips_of(b.rows); ++s) {
    const int64_t row = strip_begin(b.rows, s), rows = strip_begin(b.rows, s + 1) - row;
    if (p.left_along == Along::kOutput) {
      pack_strip<T>(p.left, b.row + row, rows, k0, k_end - k0, out);
    } else {
      pack_strip_by_depth<T>(p.left, b.row + row, rows, k0, k_end, out);
    }
    out += strip_numbers<T>(rows, cells);
  }
}

template <class T>
void pack_right_rows(const PanelBlock& b, int64_t k0, int64_t k_end, int64_t stride, T* out) {
  const PanelProduct& p = *b.product;
  for (int64_t panel = 0; panel < b.panels; ++panel, out += stride) {
    const int64_t column = (b.panel + panel) * kPanel, n = p.n - column;
    pack_panel_by_depth<T>(p.right_rows, column, n < kPanel ? n : kPanel, k0, k_end, out);
  }
}

template <class T>
void panel_block(const PanelBlock& b) {
  const PanelProduct& p = *b.product;
  const BlockRoom room(sizeof(T) == 4 ? Number::kF32 : Number::kBf16, b);
  char* const scratch = static_cast<char*>(b.scratch);
  T* const left = reinterpret_cast<T*>(scratch);
  T* const right = reinterpret_cast<T*>(scratch + room.left);
  PackedCells<T> packed = {};
  packed.lanes = reinterpret_cast<float*>(scratch + room.left + room.right);
  packed.sums = reinterpret_cast<float*>(scratch + room.left + room.right + room.lanes);
  packed.sums_stride = room.blocks > 1 ? b.rows * kPanel : 0;
  packed.left = left;
  for (int64_t block = 0; block < room.blocks; ++block) {
    const int64_t k0 = block * room.cells * kPerCell<T>, left_over = p.k - k0;
    const int64_t count = left_over < room.cells * kPerCell<T> ? left_over : room.cells * kPerCell<T>;
    packed.cells = (count + kPerCell<T> - 1) / kPerCell<T>;
    packed.first = block == 0;
    packed.last = block + 1 == room.blocks;
    pack_left<T>(b, k0, k0 + count, left);
    if (p.right) {
      packed.right_stride = (p.k + 1) / 2 * 2 * kPanel;
      packed.right = static_cast<const T*>(p.right) + b.panel * packed.right_stride + k0 * kPanel;
    } else {
      packed.right_stride = packed.cells * kPanel * kPerCell<T>;
      packed.right = right;
      pack_right_rows<T>(b, k0, k0 + count, packed.right_stride, right);
    }
    panel_sums<T>(b, packed);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
