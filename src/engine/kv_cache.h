// Keys and values of one sequence, in blocks of kCacheBlock positions that begin at multiples of it.
//
// A block holds all layers: [layer][key, value][head][position in block][head_dim] float32. It is made when the first
// of its positions is; nothing is ever moved, so sequences may join and leave a batch at any time.
#pragma once

#include <memory>
#include <vector>

#include "kernels/matrix.h"
#include "spec/model_config.h"

namespace dsmoe::engine {

class KvCache {
 public:
  explicit KvCache(const spec::ModelConfig& config);

  /// Positions that a pass has filled.
  int64_t size() const { return size_; }
  /// Makes blocks for `positions` and counts them as filled; the pass fills them layer by layer.
  void extend(int64_t positions);
  /// Forgets positions from `size` on; 0 <= size <= size().
  void truncate(int64_t size);

  float* key(int64_t layer, int64_t head, int64_t position) { return at(keys_at(layer, head), position); }
  float* value(int64_t layer, int64_t head, int64_t position) { return at(values_at(layer, head), position); }
  /// What kernels::Attention wants: block addresses, and where in each block a head's keys and values begin.
  const float* const* blocks() const { return addresses_.data(); }
  int64_t keys_at(int64_t layer, int64_t head) const { return (2 * layer * heads_ + head) * plane(); }
  int64_t values_at(int64_t layer, int64_t head) const { return ((2 * layer + 1) * heads_ + head) * plane(); }

  /// Bytes of the blocks made so far.
  int64_t bytes() const;

 private:
  int64_t plane() const { return kernels::kCacheBlock * head_dim_; }
  float* at(int64_t plane_begin, int64_t position) {
    return storage_[static_cast<size_t>(position / kernels::kCacheBlock)].get() + plane_begin +
           position % kernels::kCacheBlock * head_dim_;
  }

  int64_t layers_, heads_, head_dim_, size_ = 0;
  std::vector<std::unique_ptr<float[]>> storage_;
  std::vector<const float*> addresses_;
};

}  // namespace dsmoe::engine
