#include "corpus/batch_source.h"

namespace dsmoe::corpus {

void TokenBatch::add_window(std::span<const int32_t> window) {
  ids.insert(ids.end(), window.begin(), window.end() - 1);
  targets.insert(targets.end(), window.begin() + 1, window.end());
  lengths.push_back(std::ssize(window) - 1);
}

void RowBatches::read(int64_t step, int64_t micro, TokenBatch& out) const {
  out.clear();
  std::vector<int32_t> row(static_cast<size_t>(shape_.sequence_length + 1));
  for (int64_t b = 0; b < shape_.micro_batch; ++b) {
    rows_(step, micro * shape_.micro_batch + b, row);
    out.add_window(row);
  }
}

}  // namespace dsmoe::corpus
