// The argument of packing stored weights (stored_panels.h). Seen by the units built for an instruction set.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

/// Up to sixteen rows of a stored matrix, and where in a packed layout they go.
struct StoredRows {
  const uint8_t* first = nullptr;
  int64_t stride = 0;  ///< bytes from one row to the next
  int64_t rows = 0, cols = 0;
  void* out = nullptr;  ///< Along::kOutput: the panel that they are columns of; kDepth: the whole layout
  int64_t at = 0;       ///< kOutput: 0 or 16, the first column in the panel; kDepth: the first row, an even number
  int64_t panel = 0;    ///< kDepth: numbers from one panel to the next
};

}  // namespace dsmoe::kernels
