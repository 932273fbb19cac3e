// One piece of a grouped product, as handed to an instruction set: some rows against some panels, all of k.
#pragma once

#include "kernels/panel_product.h"

namespace dsmoe::kernels {

struct PanelBlock {
  const PanelProduct* product = nullptr;
  int64_t row = 0, rows = 0;
  int64_t panel = 0, panels = 0;
  /// Cells of 32 bits (a float, or a pair of bf16) of one row that are multiplied before the next ones are packed: so
  /// many rows of left, and one panel of right, stay in the nearest caches. Sums wait in memory as the floats they are.
  int64_t cells = 256;
  const PanelBlock* next = nullptr;  ///< what the same thread is likely to do next, or null
  void* scratch = nullptr;           ///< block_scratch_bytes, aligned to 64
};

constexpr int64_t number_cells(Number type, int64_t k) { return type == Number::kF32 ? k : (k + 1) / 2; }

/// Where a block keeps what it packs. Strips of left rows are padded to four rows and four cells of depth,
/// and have 16 cells to spare each.
struct BlockRoom {
  int64_t passes, cells;             ///< of k, and cells of each but perhaps the last
  int64_t left, right, lanes, sums;  ///< bytes of each part

  BlockRoom(Number type, const PanelBlock& b) {
    const int64_t all = number_cells(type, b.product->k);
    passes = all <= b.cells ? 1 : (all + b.cells - 1) / b.cells;
    cells = (all + passes - 1) / passes;
    left = ((2 * b.rows + 16) * (cells + 4) + (b.rows + 16) * 16) * 4 / 64 * 64 + 64;
    right = b.product->right ? 0 : b.panels * cells * kPanel * 4;
    lanes = b.product->epilogue == Epilogue::kSwigluBackward ? b.rows * 64 : 0;
    sums = (passes > 1 ? b.panels * b.rows : 16) * kPanel * 4;
  }
  int64_t bytes() const { return left + right + lanes + sums; }
};

}  // namespace dsmoe::kernels
