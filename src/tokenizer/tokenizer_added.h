// Finding added tokens in text: at each place the longest, from left to right, as Hugging Face's library does it.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace dsmoe::tokenizer {

class AddedTokenMatcher {
 public:
  /// `patterns[i]`, not empty, is what to look for in place of tokens[i].content (its normalised form).
  AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns);

  /// Calls on_text(piece) and on_token(id) in order; pieces are not empty.
  template <class OnText, class OnToken>
  void split(std::string_view text, OnText&& on_text, OnToken&& on_token) const {
    size_t from = 0, taken = 0;
    for (Found found; !tokens_.empty() && next(text, from, taken, found); from = found.resume, taken = found.end) {
      if (found.begin > taken) on_text(text.substr(taken, found.begin - taken));
      on_token(found.id);
    }
    if (taken < text.size()) on_text(text.substr(taken));
  }

 private:
  struct Found {
    int32_t id = 0;
    size_t begin = 0, end = 0;  ///< with the white space it takes
    size_t resume = 0;          ///< where to look for the next one: white space taken may be another token's beginning
  };
  // A trie over bytes; children are sorted by byte.
  struct Node {
    int32_t token = -1;
    std::vector<std::pair<unsigned char, uint32_t>> children;
  };

  /// Looks from `from` on; `taken` is the end of what the token before has taken.
  bool next(std::string_view text, size_t from, size_t taken, Found& found) const;
  /// The next place where a pattern could begin, or npos.
  size_t candidate(std::string_view text, size_t from) const;
  /// The longest pattern at `at`: an index into tokens_ and its length, or -1.
  std::pair<int32_t, size_t> longest(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> first_{};
  int only_first_ = -1;  // the one byte that all patterns begin with, or -1
};

}  // namespace dsmoe::tokenizer
