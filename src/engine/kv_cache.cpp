#include "engine/kv_cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/attend.h"

namespace dsmoe::engine {
namespace {

constexpr std::string_view kNames[] = {"f32", "f16", "q8_0"};
constexpr size_t kLine = 64;

// Zeroed, as tiles of scores look at whole blocks; on large pages where the system gives them, as heads are read a
// stretch here, a stretch there.
std::shared_ptr<char> new_piece(size_t bytes) {
  const bool large = bytes >= 2 * base::kLargePage;
  const size_t alignment = large ? base::kLargePage : kLine;
  void* piece = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!piece) throw std::bad_alloc();
  if (large) base::prefer_large_pages(piece, bytes);
  return {static_cast<char*>(std::memset(piece, 0, bytes)), std::free};
}

// Blocks of the piece that begins with this one.
int64_t blocks_of_piece(int64_t first_block) { return std::clamp<int64_t>(first_block, 1, kernels::kSpanBlocks); }

// Of whole pieces.
int64_t blocks_for(int64_t positions) {
  int64_t blocks = 0;
  while (blocks * kernels::kCacheBlock < positions) blocks += blocks_of_piece(blocks);
  return blocks;
}

}  // namespace

CacheType cache_type_from(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<CacheType>(i);
  }
  base::fail(base::ErrorKind::kUsage, "cache", "a cache is of type f32, f16 or q8_0", base::in_quotes(name));
}

std::string_view cache_type_name(CacheType type) { return kNames[static_cast<size_t>(type)]; }

KvCache::KvCache(const spec::ModelConfig& config, CacheType type)
    : type_(type),
      layers_(config.num_hidden_layers),
      heads_(config.num_key_value_heads),
      plane_(kernels::plane_bytes(type, config.head_dim())) {}

int64_t KvCache::bytes_for(const spec::ModelConfig& config, CacheType type, int64_t positions) {
  return blocks_for(positions) * KvCache(config, type).block_bytes();
}

template <class Visit>
void KvCache::for_each_open_piece(Visit visit) const {
  int64_t first = 0;
  for (size_t p = 0; p < pieces_.size(); ++p) {
    const int64_t blocks = blocks_of_piece(first);
    if ((first + blocks) * kernels::kCacheBlock > size_) visit(p, first, blocks);
    first += blocks;
  }
}

void KvCache::place(char* piece, int64_t first_block, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b) {
    places_[static_cast<size_t>(first_block + b)] = {piece + 2 * b * plane_, 2 * blocks * plane_};
  }
}

int64_t KvCache::growth(int64_t positions) const {
  int64_t bytes = std::max<int64_t>(0, blocks_for(size_ + positions) - std::ssize(places_)) * block_bytes();
  for_each_open_piece([&](size_t p, int64_t, int64_t blocks) {
    if (pieces_[p].use_count() > 1) bytes += blocks * block_bytes();
  });
  return bytes;
}

// Where memory runs out, pieces and places still belong together.
void KvCache::reserve(int64_t positions) {
  for_each_open_piece([&](size_t p, int64_t first, int64_t blocks) {
    if (pieces_[p].use_count() == 1) return;
    const auto bytes = static_cast<size_t>(blocks * block_bytes());
    std::shared_ptr<char> own = new_piece(bytes);
    std::memcpy(own.get(), pieces_[p].get(), bytes);
    place(own.get(), first, blocks);
    pieces_[p] = std::move(own);
  });
  while (std::ssize(places_) * kernels::kCacheBlock < size_ + positions) {
    const int64_t first = std::ssize(places_), blocks = blocks_of_piece(first);
    places_.reserve(places_.size() + static_cast<size_t>(blocks));
    pieces_.reserve(pieces_.size() + 1);
    pieces_.push_back(new_piece(static_cast<size_t>(blocks * block_bytes())));
    places_.resize(places_.size() + static_cast<size_t>(blocks));
    place(pieces_.back().get(), first, blocks);
  }
}

void KvCache::extend(int64_t positions) {
  reserve(positions);
  size_ += positions;
}

void KvCache::truncate(int64_t size) {
  DSMOE_CHECK(size >= 0 && size <= size_, "a cache is cut to what it has");
  size_ = size;
  const int64_t kept = blocks_for(std::max<int64_t>(1, size));
  if (std::ssize(places_) <= kept) return;
  while (pieces_.back().get() != places_[static_cast<size_t>(kept)].first) pieces_.pop_back();
  pieces_.pop_back();
  places_.resize(static_cast<size_t>(kept));
}

void KvCache::store(int64_t layer, int64_t head, int64_t position, int64_t plane, std::span<const float> row_A) {
  const kernels::BlockPlace& place = places_[static_cast<size_t>(position / kernels::kCacheBlock)];
  char* at = place.first + this->head(layer, head) * place.head_bytes + plane;
  kernels::store_cached(type_, row_A, at, position % kernels::kCacheBlock);
}

}  // namespace dsmoe::engine
