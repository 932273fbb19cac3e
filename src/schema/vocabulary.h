// A model's tokens as a rule about bytes wants them: in a trie, and sorted by whether they are plain text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace dsmoe::schema {

/// Bits, one a token.
using TokenMask = std::vector<uint64_t>;

class Vocabulary {
 public:
  /// Special tokens are never text.
  explicit Vocabulary(const tokenizer::Tokenizer& tokenizer);
  /// Empty texts are of tokens that never come.
  explicit Vocabulary(std::vector<std::string> texts);

  /// A trie in the order of a walk: a node's first child follows it. Beyond `end` nothing lies below it.
  struct Node {
    uint8_t byte = 0;
    uint16_t depth = 0;  ///< bytes up to here, from 1 on
    int32_t end = 0;
    int32_t first = 0, last = 0;  ///< its tokens in `ids`
  };
  struct Trie {
    std::vector<Node> nodes;
    std::vector<int32_t> ids;
    size_t deepest = 0;
  };
  const Trie& all() const { return all_; }
  /// Without the plain ones.
  const Trie& special() const { return special_; }
  /// Plain tokens, which are whole characters that a JSON string has as they are, with at most so many of them.
  const TokenMask& plain(int64_t most_characters) const;

  /// Tokens with three quotes or more.
  const std::vector<int32_t>& quoted() const { return quoted_; }

  std::string_view text(int32_t token) const { return texts_[static_cast<size_t>(token)]; }
  size_t words() const { return (texts_.size() + 63) / 64; }

 private:
  Trie trie_of(std::vector<int32_t> tokens) const;

  std::vector<std::string> texts_;
  Trie all_, special_;
  std::vector<int32_t> quoted_;
  std::vector<TokenMask> plain_;  // by the most characters, the last one without a bound
};

}  // namespace dsmoe::schema
