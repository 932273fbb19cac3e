#include "serve/prefix_store.h"

#include <algorithm>
#include <utility>

namespace dsmoe::serve {
namespace {

constexpr size_t kMostEntries = 512;

int64_t shared(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

}  // namespace

engine::KvCache PrefixStore::begin(std::span<const int32_t> tokens, engine::KvCache empty) {
  auto best = entries_.end();
  int64_t longest = 0;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const int64_t length = std::min(shared(entry->tokens, tokens), std::ssize(tokens) - 1);
    if (length > longest) longest = length, best = entry;
  }
  if (best == entries_.end()) return empty;
  entries_.splice(entries_.begin(), entries_, best);
  engine::KvCache cache = best->cache;
  cache.truncate(longest);
  return cache;
}

void PrefixStore::put(const engine::KvCache& cache, std::span<const int32_t> tokens) {
  entries_.remove_if([&](const Entry& entry) { return shared(entry.tokens, tokens) == std::ssize(entry.tokens); });
  if (cache.bytes() > most_bytes_) return;
  entries_.push_front({{tokens.begin(), tokens.end()}, cache});
  shrink(most_bytes_);
}

void PrefixStore::shrink(int64_t bytes) {
  while (entries_.size() > kMostEntries || (!entries_.empty() && this->bytes() > bytes)) entries_.pop_back();
}

int64_t PrefixStore::bytes() const {
  int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.cache.bytes();
  return sum;
}

}  // namespace dsmoe::serve
