#include "kernels/stored_panels.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/product.h"

namespace dsmoe::kernels {
namespace {

constexpr int64_t kMost = 16;

void check(const RowsOfMatrix& r) {
  DSMOE_CHECK(r.count >= 1 && r.count <= kMost && r.step >= 1 && r.row >= 0, "one to sixteen rows");
  DSMOE_CHECK(r.row + (r.count - 1) * r.step < r.matrix.rows, "rows of the matrix");
}

void check(const RowsOfMatrix& r, const ColumnRange& columns) {
  check(r);
  DSMOE_CHECK(columns.begin >= 0 && columns.begin <= columns.end && columns.end <= r.matrix.cols, "columns of it");
  DSMOE_CHECK(columns.begin % kSuperValues == 0, "columns begin with a block");
  DSMOE_CHECK(columns.end % kSuperValues == 0 || columns.end == r.matrix.cols, "columns end with a block");
}

/// Element (k, n) of packed memory, n within a panel.
int64_t place(Number type, int64_t k, int64_t n) {
  return type == Number::kF32 ? k * kPanel + n : k / 2 * 2 * kPanel + 2 * n + k % 2;
}

void set(Number type, void* memory, int64_t i, float x) {
  if (type == Number::kF32) {
    static_cast<float*>(memory)[i] = x;
  } else {
    static_cast<uint16_t*>(memory)[i] = to_bf16(x);
  }
}

StoredRows stored_rows(const RowsOfMatrix& r) {
  const int64_t bytes = row_bytes(r.matrix.type, r.matrix.cols);
  return {.first = row_address(r.matrix, r.row), .stride = r.step * bytes, .rows = r.count, .cols = r.matrix.cols};
}

}  // namespace

void pack_stored_columns_ref(const RowsOfMatrix& rows, Number to, void* panel, int64_t at) {
  check(rows);
  const int64_t cols = rows.matrix.cols;
  std::vector<float> values(static_cast<size_t>(cols));
  for (int64_t i = 0; i < kMost; ++i) {
    std::ranges::fill(values, 0.0f);
    if (i < rows.count) weight_row(rows.matrix, rows.row + i * rows.step, values);
    for (int64_t k = 0; k < cols; ++k) set(to, panel, place(to, k, at + i), values[static_cast<size_t>(k)]);
    if (cols % 2 != 0) set(to, panel, place(to, cols, at + i), 0);
  }
}

void pack_stored_depth_ref(const RowsOfMatrix& rows, const ColumnRange& columns, Number to, void* layout, int64_t depth,
                           int64_t at) {
  check(rows, columns);
  const int64_t whole = (columns.end - columns.begin + kPanel - 1) / kPanel * kPanel;
  std::vector<float> values(static_cast<size_t>(std::max(rows.matrix.cols, columns.begin + whole)));
  for (int64_t i = 0; i < (rows.count + 1) / 2 * 2; ++i) {
    std::ranges::fill(values, 0.0f);
    if (i < rows.count) {
      weight_row(rows.matrix, rows.row + i * rows.step, std::span(values).first(static_cast<size_t>(rows.matrix.cols)));
    }
    for (int64_t n = 0; n < whole; ++n) {
      set(to, layout, packed_numbers(depth, n / kPanel * kPanel) + place(to, at + i, n % kPanel),
          values[static_cast<size_t>(columns.begin + n)]);
    }
  }
}

void pack_stored_columns(const RowsOfMatrix& rows, Number to, void* panel, int64_t at) {
  if (!is_quantised(rows.matrix.type)) return pack_stored_columns_ref(rows, to, panel, at);
  check(rows);
  StoredRows stored = stored_rows(rows);
  stored.out = panel, stored.at = at;
  kernels().pack_stored_columns[static_cast<size_t>(block_type(rows.matrix.type))][static_cast<size_t>(to)](stored);
}

void pack_stored_depth(const RowsOfMatrix& rows, const ColumnRange& columns, Number to, void* layout, int64_t depth,
                       int64_t at) {
  DSMOE_CHECK(at % 2 == 0, "rows begin with a pair");
  if (!is_quantised(rows.matrix.type)) return pack_stored_depth_ref(rows, columns, to, layout, depth, at);
  check(rows, columns);
  StoredRows stored = stored_rows(rows);
  stored.first += row_bytes(rows.matrix.type, columns.begin);
  stored.cols = columns.end - columns.begin;
  stored.out = layout, stored.at = at, stored.panel = packed_numbers(depth, kPanel);
  kernels().pack_stored_depth[static_cast<size_t>(block_type(rows.matrix.type))][static_cast<size_t>(to)](stored);
}

}  // namespace dsmoe::kernels
