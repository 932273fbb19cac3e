// The order of rows of q and k in GGUF files (gguf_model.h).
#pragma once

#include <cstdint>

namespace dsmoe::formats {

/// Which row of a model folder's q or k is row `row` of the file's, for heads of `head` rows.
constexpr int64_t folder_row(int64_t row, int64_t head) {
  const int64_t in_head = row % head;
  return row - in_head + in_head / 2 + in_head % 2 * (head / 2);
}

}  // namespace dsmoe::formats
