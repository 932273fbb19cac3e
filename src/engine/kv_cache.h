// Keys and values of one sequence, in blocks of kCacheBlock positions that begin at multiples of it.
//
// Memory comes in pieces of some blocks, of all layers: [layer][head][block][keys, values], planes as
// kernels/cache_block.h has them, in float32, float16 or 8 bits. A piece is made when the first of its positions is,
// and has as many blocks as there were before it, from 1 to a span of them: a short sequence takes little, and of a
// long one each span but the first is one stretch of memory for each head. Nothing is ever moved, so sequences may join
// and leave a batch at any time.
//
// A copy of a cache shares its pieces, so a beginning that many sequences have is there once. Whichever of them stores
// into a shared piece first makes one of its own; nobody's positions change under anybody else. Copies belong to one
// thread, as an engine's sequences do.
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
  /// Makes memory for `positions` more, so that they may be stored. They count only once they are all there.
  void reserve(int64_t positions);
  /// Bytes that reserve(positions) would take.
  int64_t growth(int64_t positions) const;
  /// Counts `positions` more as filled, and makes memory for them where there is none.
  void extend(int64_t positions);
  /// Forgets positions from `size` on; 0 <= size <= size(). Gives back the pieces that hold no others, but for the
  /// first one, which a sequence that begins anew needs at once.
  void truncate(int64_t size);

  void store_key(int64_t layer, int64_t head, int64_t position, std::span<const float> row_A) {
    store(layer, head, position, 0, row_A);
  }
  void store_value(int64_t layer, int64_t head, int64_t position, std::span<const float> row_A) {
    store(layer, head, position, plane_, row_A);
  }
  /// What kernels::Attention wants.
  const kernels::BlockPlace* blocks() const { return places_.data(); }
  int64_t head(int64_t layer, int64_t head) const { return layer * heads_ + head; }

  /// Bytes of its pieces, those that it shares too.
  int64_t bytes() const { return static_cast<int64_t>(places_.size()) * block_bytes(); }
  /// Bytes that `positions` take.
  static int64_t bytes_for(const spec::ModelConfig& config, CacheType type, int64_t positions);

 private:
  /// Calls visit(piece, its first block, its blocks) for the pieces that hold positions from size() on.
  template <class Visit>
  void for_each_open_piece(Visit visit) const;
  void place(char* piece, int64_t first_block, int64_t blocks);
  int64_t block_bytes() const { return 2 * layers_ * heads_ * plane_; }
  void store(int64_t layer, int64_t head, int64_t position, int64_t plane, std::span<const float> row_A);

  CacheType type_;
  int64_t layers_, heads_, plane_, size_ = 0;
  std::vector<std::shared_ptr<char>> pieces_;
  std::vector<kernels::BlockPlace> places_;  // of each block
};

}  // namespace dsmoe::engine
