#include "engine/kv_cache.h"

#include "base/error.h"

namespace dsmoe::engine {

KvCache::KvCache(const spec::ModelConfig& config)
    : layers_(config.num_hidden_layers), heads_(config.num_key_value_heads), head_dim_(config.head_dim()) {}

void KvCache::extend(int64_t positions) {
  size_ += positions;
  while (static_cast<int64_t>(storage_.size()) * kernels::kCacheBlock < size_) {
    // Zeroed, so that a block is never read before it is written, even by a tool that looks at whole blocks.
    storage_.push_back(std::make_unique<float[]>(static_cast<size_t>(2 * layers_ * heads_ * plane())));
    addresses_.push_back(storage_.back().get());
  }
}

void KvCache::truncate(int64_t size) {
  DSMOE_CHECK(size >= 0 && size <= size_, "a cache is cut to what it has");
  size_ = size;
  const auto blocks = static_cast<size_t>((size + kernels::kCacheBlock - 1) / kernels::kCacheBlock);
  storage_.resize(blocks);
  addresses_.resize(blocks);
}

int64_t KvCache::bytes() const {
  return static_cast<int64_t>(storage_.size()) * 2 * layers_ * heads_ * plane() * static_cast<int64_t>(sizeof(float));
}

}  // namespace dsmoe::engine
