// Stored weights as the right side of panel products: what training beside a file's weights packs for each product
// anew.
//
// The same numbers as weight_row() and pack_right() over them, to the bit, without the row between.
#pragma once

#include "kernels/matrix.h"
#include "kernels/panel_product.h"

namespace dsmoe::kernels {

/// Rows row, row + step, ... of a matrix, 1 to 16 of them.
struct RowsOfMatrix {
  Matrix matrix;
  int64_t row = 0, step = 1, count = 0;
};
/// The columns begin .. end of a matrix, both multiples of 256; end may be the matrix's own.
struct ColumnRange {
  int64_t begin = 0, end = 0;
};

/// As columns at .. at + 16 (`at` 0 or 16) of a panel of Along::kOutput, those from `count` on zeros.
void pack_stored_columns(const RowsOfMatrix& rows, Number to, void* panel, int64_t at);
void pack_stored_columns_ref(const RowsOfMatrix& rows, Number to, void* panel, int64_t at);

/// Some columns as depth at .. at + count of a layout of Along::kDepth that has these columns and whose depth is
/// `depth`; `at` is even. An odd count is followed by a row of zeros.
void pack_stored_depth(const RowsOfMatrix& rows, const ColumnRange& columns, Number to, void* layout, int64_t depth,
                       int64_t at);
void pack_stored_depth_ref(const RowsOfMatrix& rows, const ColumnRange& columns, Number to, void* layout, int64_t depth,
                           int64_t at);

}  // namespace dsmoe::kernels
