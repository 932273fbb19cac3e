#include "schema/vocabulary.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "schema/string_machine.h"

namespace dsmoe::schema {
namespace {

// Beyond it the exact number makes little difference: the longest tokens are left out a little early.
constexpr int64_t kCounted = 48;
constexpr size_t kLongest = 65535;

std::vector<std::string> texts_of(const tokenizer::Tokenizer& tokenizer) {
  std::vector<std::string> texts(static_cast<size_t>(tokenizer.vocab_size()));
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_special(id)) texts[static_cast<size_t>(id)] = std::string(tokenizer.token_bytes(id));
  }
  return texts;
}

// How many characters, or -1 where they are not plain.
int64_t plain_characters(std::string_view text) {
  StringState state;
  int32_t whole = 0;
  for (const char byte : text) {
    if (byte == '\\' || !read_string_byte(state, static_cast<uint8_t>(byte), INT64_MAX, INT64_MAX, whole)) return -1;
  }
  return between_characters(state) ? state.count : -1;
}

}  // namespace

Vocabulary::Vocabulary(const tokenizer::Tokenizer& tokenizer) : Vocabulary(texts_of(tokenizer)) {}

Vocabulary::Vocabulary(std::vector<std::string> texts) : texts_(std::move(texts)) {
  plain_.assign(kCounted + 2, TokenMask(words()));
  std::vector<int32_t> every, special;
  for (int32_t id = 0; id < std::ssize(texts_); ++id) {
    const std::string_view bytes = text(id);
    if (bytes.empty() || bytes.size() > kLongest) continue;
    every.push_back(id);
    if (std::count(bytes.begin(), bytes.end(), '"') >= 3) quoted_.push_back(id);
    const int64_t count = plain_characters(bytes);
    if (count < 0) {
      special.push_back(id);
      continue;
    }
    for (int64_t most = std::min(count, kCounted + 1); most < std::ssize(plain_); ++most) {
      plain_[static_cast<size_t>(most)][static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    }
  }
  all_ = trie_of(std::move(every));
  special_ = trie_of(std::move(special));
}

const TokenMask& Vocabulary::plain(int64_t most_characters) const {
  const bool bounded = most_characters <= static_cast<int64_t>(kLongest);
  return plain_[static_cast<size_t>(bounded ? std::min(most_characters, kCounted) : kCounted + 1)];
}

Vocabulary::Trie Vocabulary::trie_of(std::vector<int32_t> tokens) const {
  std::sort(tokens.begin(), tokens.end(), [&](int32_t a, int32_t b) { return text(a) < text(b); });
  Trie trie;
  std::vector<int32_t> open;  // nodes from the root to the one before
  std::string_view before;
  const auto close = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      trie.nodes[static_cast<size_t>(open.back())].end = static_cast<int32_t>(trie.nodes.size());
    }
  };
  for (const int32_t id : tokens) {
    const std::string_view bytes = text(id);
    const auto shared = std::mismatch(bytes.begin(), bytes.end(), before.begin(), before.end()).first - bytes.begin();
    close(static_cast<size_t>(shared));
    for (size_t at = static_cast<size_t>(shared); at < bytes.size(); ++at) {
      open.push_back(static_cast<int32_t>(trie.nodes.size()));
      const auto here = static_cast<int32_t>(trie.ids.size());
      trie.nodes.push_back({static_cast<uint8_t>(bytes[at]), static_cast<uint16_t>(at + 1), 0, here, here});
    }
    trie.ids.push_back(id);
    trie.nodes[static_cast<size_t>(open.back())].last = static_cast<int32_t>(trie.ids.size());
    trie.deepest = std::max(trie.deepest, bytes.size());
    before = bytes;
  }
  close(0);
  return trie;
}

}  // namespace dsmoe::schema
