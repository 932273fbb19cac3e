// Blocks of grouped products, over the Vec of the including unit. Reference and contract: panels.h.
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

/// One strip against one panel: packed operands, their cells, and sums [rows, kPanel], which begin at zero or at what
/// is there. `lines` are asked for on the way.
template <class T>
struct StripProduct {
  const T* left;
  const T* right;
  int64_t cells;
  bool first;
  float* sums;
  const Lines* lines;
};

template <int Rows, class T>
void strip_sums(const StripProduct<T>& p) {
  constexpr int64_t kWidth = padded_to_four(Rows) * kPerCell<T>;
  for (int half = 0; half < kPanel / kLanes; half += kPanelVecs) {
    Vec acc[Rows * kPanelVecs];
    unrolled<Rows * kPanelVecs>([&](int i) DSMOE_INLINE {
      acc[i] = p.first ? Vec::zero() : Vec::load(p.sums + i / kPanelVecs * kPanel + (half + i % kPanelVecs) * kLanes);
    });
    const T* a = p.left;
    const T* b = p.right + half * kLanes * kPerCell<T>;
    const auto multiply = [&](int64_t cells) DSMOE_INLINE {
      for (int64_t cell = 0; cell < cells; ++cell, a += kWidth, b += kPanel * kPerCell<T>) {
        decltype(cells_at(b)) columns[kPanelVecs];
        unrolled<kPanelVecs>([&](int v) DSMOE_INLINE { columns[v] = cells_at(b + v * kLanes * kPerCell<T>); });
        unrolled<Rows>([&](int r) DSMOE_INLINE {
          const auto row = cell_everywhere(a + r * kPerCell<T>);
          unrolled<kPanelVecs>(
              [&](int v) DSMOE_INLINE { acc[r * kPanelVecs + v] = dot(row, columns[v], acc[r * kPanelVecs + v]); });
        });
      }
    };
    multiply(p.cells - (half == 0 ? p.lines->visit(p.cells, multiply) : 0));
    unrolled<Rows * kPanelVecs>(
        [&](int i) DSMOE_INLINE { acc[i].store(p.sums + i / kPanelVecs * kPanel + (half + i % kPanelVecs) * kLanes); });
  }
}

/// The same for any number of rows up to Rows.
template <int Rows, class T>
inline void any_strip_sums(int64_t rows, const StripProduct<T>& product) {
  if constexpr (Rows > 1) {
    if (rows != Rows) return any_strip_sums<Rows - 1>(rows, product);
  }
  strip_sums<Rows>(product);
}

/// A block's rows in strips of nearly equal height, the higher ones last.
class Strips {
 public:
  explicit Strips(int64_t rows)
      : count((rows + kPanelRows - 1) / kPanelRows), least_(rows / count), lower_(count - rows % count) {}
  int64_t begin(int64_t strip) const { return strip * least_ + (strip > lower_ ? strip - lower_ : 0); }
  int64_t rows(int64_t strip) const { return least_ + (strip >= lower_ ? 1 : 0); }

  const int64_t count;

 private:
  const int64_t least_, lower_;
};

/// A block's packed operands for some cells of k, and where its sums are.
template <class T>
struct PackedCells {
  const T* left;
  const T* right;
  int64_t right_stride;  // numbers of a panel
  int64_t cells;
  int64_t pass, passes;
  float* sums;
  int64_t sums_stride;  // floats of a panel's sums; 0: they leave at once and one strip's place is enough
  float* lanes;

  bool last() const { return pass + 1 == passes; }
};

/// Numbers of a packed strip of left rows. The spare ones at its end are written by stores of sixteen cells.
template <class T>
inline int64_t strip_numbers(int64_t rows, int64_t cells) {
  return (padded_to_four(rows) * ((cells + 3) / 4 * 4) + kLanes) * kPerCell<T>;
}

/// Memory that is packed or multiplied next, a few rows at a time.
template <class T>
struct PrefetchRows {
  RowsView view;
  int64_t row, rows, column, columns;

  /// The next `some` of them.
  void take(int64_t some, Lines& lines) {
    for (; some > 0 && rows > 0; --some, --rows, ++row) lines.add(row_of<T>(view, row) + column, columns);
  }
};

/// The k of one pass over a block.
struct Pass {
  int64_t k0, k_end;

  Pass(const BlockRoom& room, const PanelBlock& b, int64_t pass, int64_t per_cell) {
    k0 = pass * room.cells * per_cell;
    const int64_t end = k0 + room.cells * per_cell;
    k_end = end < b.product->k ? end : b.product->k;
  }
};

template <class T>
inline PrefetchRows<T> left_of(const PanelBlock& b, const Pass& pass) {
  if (b.product->left_along == Along::kDepth) {
    return {b.product->left, pass.k0, pass.k_end - pass.k0, b.row, b.rows};
  }
  return {b.product->left, b.row, b.rows, pass.k0, pass.k_end - pass.k0};
}

/// All right rows of the pass, or its first panel.
template <class T>
inline PrefetchRows<T> right_of(const PanelBlock& b, const Pass& pass) {
  const PanelProduct& p = *b.product;
  const int64_t rows = pass.k_end - pass.k0, column = b.panel * kPanel;
  if (!p.right) {
    return {p.right_rows, pass.k0, rows, column, p.n - column < b.panels * kPanel ? p.n - column : b.panels * kPanel};
  }
  const RowsView panel = {static_cast<const T*>(p.right) + column * ((p.k + 1) / 2 * 2), kPanel, nullptr};
  return {panel, pass.k0, rows, 0, kPanel};
}

template <class T>
void panel_sums(const PanelBlock& b, const PackedCells<T>& packed, PrefetchRows<T>* prefetch) {
  const Strips strips(b.rows);
  const int64_t panel_rows = packed.cells * kPerCell<T>, calls = b.panels * strips.count;
  const int64_t some_panel_rows = (panel_rows + strips.count - 1) / strips.count;
  const int64_t some[2] = {(prefetch[0].rows + calls - 1) / calls, (prefetch[1].rows + calls - 1) / calls};
  for (int64_t panel = 0; panel < b.panels; ++panel) {
    const T* const right = packed.right + panel * packed.right_stride;
    const RowsView next = {right + packed.right_stride, kPanel, nullptr};
    PrefetchRows<T> next_panel = {next, 0, panel + 1 < b.panels ? panel_rows : 0, 0, kPanel};
    const T* left = packed.left;
    for (int64_t s = 0; s < strips.count; ++s) {
      const int64_t row = strips.begin(s), rows = strips.rows(s);
      float* const sums = packed.sums + (packed.sums_stride ? panel * packed.sums_stride + row * kPanel : 0);
      const Strip strip = {b.product, b.row + row, rows, b.panel + panel, sums, packed.lanes + row * kLanes};
      Lines lines;
      if (packed.last() || s % packed.passes == packed.pass) finish_lines<T>(strip, lines);
      next_panel.take(some_panel_rows, lines);
      for (int i = 0; i < 2; ++i) prefetch[i].take(some[i], lines);
      any_strip_sums<kPanelRows>(rows, StripProduct<T>{left, right, packed.cells, packed.pass == 0, sums, &lines});
      left += strip_numbers<T>(rows, packed.cells);
      if (packed.last()) finish<T>(strip);
    }
  }
}

template <class T>
void pack_left_rows(const PanelBlock& b, const Pass& pass, T* out) {
  const int64_t count = pass.k_end - pass.k0, cells = (count + kPerCell<T> - 1) / kPerCell<T>;
  const Strips strips(b.rows);
  for (int64_t s = 0; s < strips.count; ++s) {
    const int64_t row = strips.begin(s), rows = strips.rows(s);
    pack_strip<T>(b.product->left, b.row + row, rows, pass.k0, count, out);
    out += strip_numbers<T>(rows, cells);
  }
}

/// Rows of k hold the block's rows of left side by side. Stores of sixteen cells write some too many: they become the
/// strip's next cell, or its spare ones.
template <class T>
void pack_left_depth(const PanelBlock& b, const Pass& pass, T* packed) {
  const PanelProduct& p = *b.product;
  const int64_t cells = (pass.k_end - pass.k0 + kPerCell<T> - 1) / kPerCell<T>;
  const Strips strips(b.rows);
  for (int64_t k = pass.k0; k < pass.k_end; k += RowsTogether<T>::kMost) {
    const RowsTogether<T> together(p.left, k, pass.k_end);
    T* strip = packed;
    for (int64_t s = 0; s < strips.count; ++s) {
      const int64_t row = strips.begin(s), rows = strips.rows(s);
      const int64_t width = padded_to_four(rows), m = b.row + row;
      together.pack(m, p.m - m, strip + (k - pass.k0) * width, width * kPerCell<T>);
      strip += strip_numbers<T>(rows, cells);
    }
  }
}

template <class T>
void pack_right_rows(const PanelBlock& b, const Pass& pass, int64_t stride, T* packed) {
  const PanelProduct& p = *b.product;
  for (int64_t k = pass.k0; k < pass.k_end; k += RowsTogether<T>::kMost) {
    const RowsTogether<T> together(p.right_rows, k, pass.k_end);
    for (int64_t half = 0; half < b.panels * kPanel; half += kLanes) {
      T* const out = packed + half / kPanel * stride + (k - pass.k0) * kPanel + half % kPanel * kPerCell<T>;
      const int64_t n = b.panel * kPanel + half;
      together.pack(n, p.n - n, out, kPanel * kPerCell<T>);
    }
  }
}

template <class T>
void panel_block(const PanelBlock& b) {
  const PanelProduct& p = *b.product;
  const Number type = sizeof(T) == 4 ? Number::kF32 : Number::kBf16;
  const BlockRoom room(type, b);
  char* const scratch = static_cast<char*>(b.scratch);
  T* const left = reinterpret_cast<T*>(scratch);
  T* const right = reinterpret_cast<T*>(scratch + room.left);
  PackedCells<T> packed = {};
  packed.lanes = reinterpret_cast<float*>(scratch + room.left + room.right);
  packed.sums = reinterpret_cast<float*>(scratch + room.left + room.right + room.lanes);
  packed.sums_stride = room.passes > 1 ? b.rows * kPanel : 0;
  packed.left = left;
  packed.passes = room.passes;
  for (int64_t i = 0; i < room.passes; ++i) {
    const Pass pass(room, b, i, kPerCell<T>);
    packed.cells = (pass.k_end - pass.k0 + kPerCell<T> - 1) / kPerCell<T>;
    packed.pass = i;
    if (p.left_along == Along::kOutput) {
      pack_left_rows<T>(b, pass, left);
    } else {
      pack_left_depth<T>(b, pass, left);
    }
    if (p.right) {
      packed.right_stride = (p.k + 1) / 2 * 2 * kPanel;
      packed.right = static_cast<const T*>(p.right) + b.panel * packed.right_stride + pass.k0 * kPanel;
    } else {
      packed.right_stride = packed.cells * kPanel * kPerCell<T>;
      packed.right = right;
      pack_right_rows<T>(b, pass, packed.right_stride, right);
    }
    const PanelBlock* const next = packed.last() ? b.next : &b;
    PrefetchRows<T> prefetch[2] = {};
    if (next) {
      const Pass next_pass(BlockRoom(type, *next), *next, packed.last() ? 0 : i + 1, kPerCell<T>);
      prefetch[0] = left_of<T>(*next, next_pass), prefetch[1] = right_of<T>(*next, next_pass);
    }
    panel_sums<T>(b, packed, prefetch);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
