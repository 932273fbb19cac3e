// Packing for grouped products, over the Vec of the including unit. Layouts: panel_product.h.
//
// Left rows become strips of up to kPanelRows rows: per cell of k (a float, or a pair of bf16) the rows' cells side by
// side, padded to four rows, so that one address walks through all of them. Panels of right are the same, 32 wide.
#pragma once

#include "kernels/panel_block.h"
#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// Numbers in one cell of 32 bits.
template <class T>
constexpr int64_t kPerCell = 4 / static_cast<int64_t>(sizeof(T));
constexpr int64_t padded_to_four(int64_t rows) { return (rows + 3) / 4 * 4; }

template <class T>
inline const T* row_of(const RowsView& view, int64_t row) {
  return static_cast<const T*>(view.data) + (view.index ? view.index[row] : row) * view.stride;
}

template <class T>
inline Vec load_some(const T* p, int64_t n) {
  return n >= kLanes ? Vec::load(p) : Vec::load(p, n);
}
template <class T>
inline void store_some(Vec v, T* p, int64_t n) {
  if (n >= kLanes) {
    v.store(p);
  } else {
    v.store(p, n);
  }
}

/// Cache lines to prefetch, bit by bit, while something else is computed: at once they would wait for each other.
struct Lines {
  static constexpr int kMost = 64;
  struct Run {
    const char* at;
    int64_t stride, count;
  };
  Run runs[kMost];
  int size = 0;
  int64_t count = 0;

  /// One of each of `rows` places, `stride` numbers apart from p on.
  template <class T>
  void add_column(const T* p, int64_t stride, int64_t rows) {
    if (size == kMost || rows <= 0) return;
    runs[size++] = {reinterpret_cast<const char*>(p), stride * static_cast<int64_t>(sizeof(T)), rows};
    count += rows;
  }
  /// Those of n numbers from p on.
  template <class T>
  void add(const T* p, int64_t n) {
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
    add_column(p, kLine, (n + kLine - 1) / kLine);
  }
  /// Asks for all of them between work(share)s that come to no more than `all`; returns what they came to.
  template <class Work>
  DSMOE_INLINE int64_t visit(int64_t all, const Work& work) const {
    constexpr int64_t kLeast = 4;  // so that the work between is worth its loop
    const int64_t together = 1 + count * kLeast / (all + 1), share = all / (count / together + 1);
    int64_t done = 0, asked = 0;
    for (int i = 0; i < size; ++i) {
      const char* line = runs[i].at;
      for (int64_t j = 0; j < runs[i].count; ++j, line += runs[i].stride) {
        __builtin_prefetch(line, 0, 2);
        if (++asked < together) continue;
        work(share);
        done += share, asked = 0;
      }
    }
    return done;
  }
};

template <class T>
inline void zero_numbers(T* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = T{0};
}

template <class From, class To>
inline void convert(const From* from, int64_t count, To* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Vec::load(from + i).store(to + i);
  if (i < count) Vec::load(from + i, count - i).store(to + i, count - i);
}

/// Four cells of `groups` times four rows, transposed to out: cell j of all rows at out + j * width cells.
template <class T>
inline void transpose_cells(const T* const* rows, int64_t offset, int64_t groups, T* out, int64_t width) {
  for (int64_t group = 0; group < groups; ++group) {
    const T* const* four = rows + group * 4;
    const void* at[4] = {four[0] + offset, four[1] + offset, four[2] + offset, four[3] + offset};
    transpose_four(at, out + group * 4 * kPerCell<T>, width * 4);
  }
}

/// Numbers k0 .. k0 + count of `rows` rows that hold k side by side. May write up to three cells too many.
template <class T>
inline void pack_strip(const RowsView& view, int64_t row, int64_t rows, int64_t k0, int64_t count, T* out) {
  constexpr int64_t kStep = 4 * kPerCell<T>;
  const int64_t width = padded_to_four(rows);
  const T* from[16];
  for (int64_t i = 0; i < width; ++i) from[i] = row_of<T>(view, row + (i < rows ? i : rows - 1)) + k0;
  int64_t k = 0;
  for (; k + kStep <= count; k += kStep, out += width * kStep) transpose_cells(from, k, width / 4, out, width);
  if (k == count) return;
  T tail[16][kStep];
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t j = 0; j < kStep; ++j) tail[i][j] = k + j < count ? from[i][k + j] : T{0};
    from[i] = tail[i];
  }
  transpose_cells(from, 0, width / 4, out, width);
}

/// One cell each of up to 16 columns: of two rows for bf16, of one for floats. Columns from n on are zeros.
inline void pack_cells(const uint16_t* const* rows, int64_t column, int64_t n, uint16_t* out) {
  if (n >= kLanes) {
    interleave(rows[0] + column, rows[1] + column, out);
  } else {
    interleave(rows[0] + column, rows[1] + column, n, out);
  }
}
inline void pack_cells(const float* const* rows, int64_t column, int64_t n, float* out) {
  load_some(rows[0] + column, n).store(out);
}
/// Of the last row alone where k is odd.
inline void pack_last_cells(const uint16_t* row, int64_t n, uint16_t* out) {
  static constexpr uint16_t kZeros[kLanes] = {};
  const uint16_t* const two[2] = {row, kZeros};
  pack_cells(two, 0, n, out);
}
inline void pack_last_cells(const float*, int64_t, float*) {}

/// Rows k .. end that are read together, each holding columns side by side: few enough to stay in the nearest cache
/// when their distance is a large power of two, enough to fill lines of what is written.
template <class T>
struct RowsTogether {
  static constexpr int64_t kMost = 4 * kPerCell<T>;
  const T* rows[kMost];
  int64_t count;

  RowsTogether(const RowsView& view, int64_t k, int64_t k_end) {
    count = k_end - k < kMost ? k_end - k : kMost;
    for (int64_t i = 0; i < count; ++i) rows[i] = row_of<T>(view, k + i);
  }
  /// n columns from `column` on, cells of one row of k after another `stride` numbers apart.
  void pack(int64_t column, int64_t n, T* out, int64_t stride) const {
    int64_t i = 0;
    for (; i + kPerCell<T> <= count; i += kPerCell<T>, out += stride) pack_cells(rows + i, column, n, out);
    if (i < count) pack_last_cells(rows[i] + column, n, out);
  }
};

/// A panel of weights [K, N]: `n` columns from `column` on, in its own type or converted two rows at a time.
template <class From, class To>
void pack_panel_of_rows(const RowsView& source, int64_t k, int64_t column, int64_t n, void* packed) {
  auto* out = static_cast<To*>(packed);
  if constexpr (sizeof(From) == sizeof(To)) {
    constexpr int64_t kMost = RowsTogether<To>::kMost;
    for (int64_t k0 = 0; k0 < k; k0 += kMost) {
      const RowsTogether<To> rows(source, k0, k);
      rows.pack(column, n, out + k0 * kPanel, kPanel * kPerCell<To>);
      rows.pack(column + kLanes, n > kLanes ? n - kLanes : 0, out + k0 * kPanel + kLanes * kPerCell<To>,
                kPanel * kPerCell<To>);
    }
    if (kPerCell<To> == 1 && k % 2) zero_numbers(out + k * kPanel, kPanel);
    return;
  }
  for (int64_t i = 0; i < k; i += kPerCell<To>, out += kPanel * kPerCell<To>) {
    To rows[2][kPanel] = {};
    for (int64_t j = 0; j < kPerCell<To> && i + j < k; ++j) convert(row_of<From>(source, i + j) + column, n, rows[j]);
    const To* const both[2] = {rows[0], rows[1]};
    for (int64_t half = 0; half < kPanel; half += kLanes) pack_cells(both, half, kLanes, out + half * kPerCell<To>);
  }
  if (kPerCell<To> == 1 && k % 2) zero_numbers(out, kPanel);
}

/// A panel of weights [N, K] from its columns, each k numbers side by side; a missing one (null) is zeros.
template <class From, class To>
void pack_panel_of_columns(const void* const* columns, int64_t k, void* packed) {
  constexpr int64_t kChunk = 64;
  auto* out = static_cast<To*>(packed);
  const int64_t padded = (k + 1) / 2 * 2;
  To staged[kPanel][kChunk];
  const To* rows[kPanel];
  for (int64_t i = 0; i < kPanel; ++i) rows[i] = staged[i], zero_numbers(staged[i], kChunk);
  for (int64_t begin = 0; begin < padded; begin += kChunk) {
    const int64_t count = k - begin < kChunk ? k - begin : kChunk;
    for (int64_t i = 0; i < kPanel; ++i) {
      if (columns[i]) convert(static_cast<const From*>(columns[i]) + begin, count, staged[i]);
      zero_numbers(staged[i] + count, kChunk - count);
    }
    const int64_t left = padded - begin < kChunk ? padded - begin : kChunk;
    for (int64_t j = 0; j < left; j += 4 * kPerCell<To>) {
      if (j + 4 * kPerCell<To> <= left) {
        transpose_cells(rows, j, kPanel / 4, out + (begin + j) * kPanel, kPanel);
        continue;
      }
      To rest[4 * kPanel * kPerCell<To>];
      transpose_cells(rows, j, kPanel / 4, rest, kPanel);
      __builtin_memcpy(out + (begin + j) * kPanel, rest, static_cast<uint64_t>(left - j) * kPanel * sizeof(To));
    }
  }
}

}  // namespace
}  // namespace dsmoe::kernels
