#include "tokenizer/tokenizer_added.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

bool is_space(const unicode::Step& step) { return (unicode::flags()[step.code_point] & unicode::kSpace) != 0; }

bool word_before(std::string_view text, size_t at) {
  return at > 0 && unicode::is_word_character(unicode::step_back(text, at).code_point);
}

bool word_after(std::string_view text, size_t at) {
  return at < text.size() &&
         unicode::is_word_character(unicode::step(text.data() + at, text.data() + text.size()).code_point);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns)
    : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint32_t node = 0;
    for (const char c : patterns[i]) {
      const auto byte = static_cast<unsigned char>(c);
      auto& children = nodes_[node].children;
      const auto place = std::lower_bound(children.begin(), children.end(), std::pair{byte, uint32_t{0}});
      if (place != children.end() && place->first == byte) {
        node = place->second;
        continue;
      }
      const auto fresh = static_cast<uint32_t>(nodes_.size());
      children.insert(place, {byte, fresh});
      nodes_.emplace_back();  // `children` is not valid any more
      node = fresh;
    }
    nodes_[node].token = static_cast<int32_t>(i);
  }
  for (const auto& child : nodes_[0].children) first_[child.first] = true;
  if (nodes_[0].children.size() == 1) only_first_ = nodes_[0].children[0].first;
}

size_t AddedTokenMatcher::candidate(std::string_view text, size_t from) const {
  if (only_first_ >= 0) return text.find(static_cast<char>(only_first_), from);
  while (from < text.size() && !first_[static_cast<unsigned char>(text[from])]) ++from;
  return from < text.size() ? from : text.npos;
}

std::pair<int32_t, size_t> AddedTokenMatcher::longest(std::string_view text, size_t at) const {
  std::pair<int32_t, size_t> best{-1, 0};
  uint32_t node = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto& children = nodes_[node].children;
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto place = std::lower_bound(children.begin(), children.end(), std::pair{byte, uint32_t{0}});
    if (place == children.end() || place->first != byte) break;
    node = place->second;
    if (nodes_[node].token >= 0) best = {nodes_[node].token, i + 1 - at};
  }
  return best;
}

bool AddedTokenMatcher::next(std::string_view text, size_t from, size_t taken, Found& found) const {
  while (true) {
    const size_t at = candidate(text, from);
    if (at == text.npos) return false;
    const auto [index, length] = longest(text, at);
    if (index < 0) {
      from = at + 1;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    found = {token.id, at, at + length, at + length};
    if (token.single_word && (word_before(text, found.begin) || word_after(text, found.end))) {
      from = found.end;
      continue;
    }
    if (token.lstrip) {
      while (found.begin > taken) {
        const unicode::Step before = unicode::step_back(text, found.begin);
        if (!is_space(before)) break;
        found.begin -= before.length;
      }
    }
    if (token.rstrip) {
      while (found.end < text.size()) {
        const unicode::Step after = unicode::step(text.data() + found.end, text.data() + text.size());
        if (!is_space(after)) break;
        found.end += after.length;
      }
    }
    return true;
  }
}

}  // namespace dsmoe::tokenizer
