// Keys and values of one sequence, in blocks of kCacheBlock positions that begin at multiples of it.
//
// A block holds all layers: [layer][head][keys, values], planes as kernels/cache_block.h has them, in float32, float16
// or 8 bits. It is made when the first of its positions is; nothing is ever moved, so sequences may join and leave a
// batch at any time.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/cache_block.h"
#include "spec/model_config.h"

namespace dsmoe::engine {

using kernels::CacheType;
/// f32, f16 or q8_0; throws Error(kUsage) for another.
CacheType cache_type_from(std::string_view name);
std::string_view cache_type_name(CacheType type);

class KvCache {
 public:
  explicit KvCache(const spec::ModelConfig& config, CacheType type = CacheType::kF32);

  CacheType type() const { return type_; }
  /// Positions that a pass has filled.
  int64_t size() const { return size_; }
  /// Makes blocks for `positions` and counts them as filled; the pass fills them layer by layer.
  void extend(int64_t positions);
  /// Forgets positions from `size` on; 0 <= size <= size(). Gives back their blocks, but for the first one, which a
  /// sequence that begins anew needs at once.
  void truncate(int64_t size);

  void store_key(int64_t layer, int64_t head, int64_t position, std::span<const float> row_A) {
    store(keys_at(layer, head), position, row_A);
  }
  void store_value(int64_t layer, int64_t head, int64_t position, std::span<const float> row_A) {
    store(values_at(layer, head), position, row_A);
  }
  /// What kernels::Attention wants: block addresses, and where in each block a head's keys and values begin.
  const char* const* blocks() const { return addresses_.data(); }
  int64_t keys_at(int64_t layer, int64_t head) const { return 2 * (layer * heads_ + head) * plane_; }
  int64_t values_at(int64_t layer, int64_t head) const { return keys_at(layer, head) + plane_; }
  int64_t head_bytes() const { return 2 * plane_; }

  /// Bytes of the blocks made so far.
  int64_t bytes() const { return static_cast<int64_t>(storage_.size()) * block_bytes(); }
  /// Bytes that `positions` take.
  static int64_t bytes_for(const spec::ModelConfig& config, CacheType type, int64_t positions);

 private:
  struct Free {
    void operator()(char* block) const;
  };
  int64_t block_bytes() const { return 2 * layers_ * heads_ * plane_; }
  void store(int64_t at, int64_t position, std::span<const float> row_A);

  CacheType type_;
  int64_t layers_, heads_, plane_, size_ = 0;
  std::vector<std::unique_ptr<char[], Free>> storage_;
  std::vector<const char*> addresses_;
};

}  // namespace dsmoe::engine
