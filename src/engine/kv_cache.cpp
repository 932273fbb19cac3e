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
// Blocks of megabytes lie on large pages where the system gives them: heads are read a plane here, a plane there.
constexpr size_t kLine = 64;

char* new_block(size_t bytes) {
  const bool large = bytes >= 2 * base::kLargePage;
  auto* block = static_cast<char*>(std::aligned_alloc(large ? base::kLargePage : kLine, bytes));
  if (!block) throw std::bad_alloc();
  if (large) base::prefer_large_pages(block, bytes);
  return block;
}

}  // namespace

CacheType cache_type_from(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<CacheType>(i);
  }
  base::fail(base::ErrorKind::kUsage, "cache", "a cache is of type f32, f16 or q8_0", base::in_quotes(name));
}

std::string_view cache_type_name(CacheType type) { return kNames[static_cast<size_t>(type)]; }

void KvCache::Free::operator()(char* block) const { std::free(block); }

KvCache::KvCache(const spec::ModelConfig& config, CacheType type)
    : type_(type),
      layers_(config.num_hidden_layers),
      heads_(config.num_key_value_heads),
      plane_(kernels::plane_bytes(type, config.head_dim())) {}

int64_t KvCache::bytes_for(const spec::ModelConfig& config, CacheType type, int64_t positions) {
  return (positions + kernels::kCacheBlock - 1) / kernels::kCacheBlock * KvCache(config, type).block_bytes();
}

void KvCache::extend(int64_t positions) {
  while (static_cast<int64_t>(storage_.size()) * kernels::kCacheBlock < size_ + positions) {
    const auto bytes = static_cast<size_t>(block_bytes());
    char* block = new_block(bytes);
    storage_.emplace_back(block);
    std::memset(block, 0, bytes);  // never read before it is written, but tiles of scores look at whole blocks
    addresses_.push_back(block);
  }
  size_ += positions;
}

void KvCache::truncate(int64_t size) {
  DSMOE_CHECK(size >= 0 && size <= size_, "a cache is cut to what it has");
  size_ = size;
  const auto used = static_cast<size_t>((size + kernels::kCacheBlock - 1) / kernels::kCacheBlock);
  const size_t blocks = std::min(storage_.size(), std::max<size_t>(1, used));
  storage_.resize(blocks);
  addresses_.resize(blocks);
}

void KvCache::store(int64_t at, int64_t position, std::span<const float> row_A) {
  char* plane = storage_[static_cast<size_t>(position / kernels::kCacheBlock)].get() + at;
  kernels::store_cached(type_, row_A, plane, position % kernels::kCacheBlock);
}

}  // namespace dsmoe::engine
