// Beginnings that have been read, kept so that the next request which begins so need not read them again.
//
// What a cache holds depends on the tokens, the model, the type of the cache and on any intervention. One store serves
// one engine and one type, and nothing that was read under an intervention may be put into it.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "engine/kv_cache.h"

namespace dsmoe::serve {

class PrefixStore {
 public:
  /// At most so many bytes, and 512 entries; pieces that entries share count for each.
  explicit PrefixStore(int64_t most_bytes) : most_bytes_(most_bytes) {}

  /// A cache with the longest beginning of `tokens` that is known, but less than all of them: the logits after the last
  /// one have to be computed. `empty` where none is known.
  engine::KvCache begin(std::span<const int32_t> tokens, engine::KvCache empty);
  /// Keeps a copy. `tokens` are what the cache holds. Entries that are beginnings of it go, as it serves for them.
  void put(const engine::KvCache& cache, std::span<const int32_t> tokens);
  /// Forgets what was used longest ago until at most so many bytes are left.
  void shrink(int64_t bytes);
  int64_t bytes() const;
  size_t entries() const { return entries_.size(); }

 private:
  struct Entry {
    std::vector<int32_t> tokens;
    engine::KvCache cache;
  };
  int64_t most_bytes_;
  std::list<Entry> entries_;  // last used first
};

}  // namespace dsmoe::serve
