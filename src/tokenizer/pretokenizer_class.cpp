// Patterns that are one optional space and a run of one character class, as bitmaps: the pattern itself is the table.
//
// DeepSeek-LLM's five Splits and the first two of DeepSeek-V3's are of this shape. Whatever is not plainly of it
// (nested classes, set operations, unknown escapes) is left to PCRE2.
#include <optional>
#include <vector>

#include "tokenizer/pretokenizer_matcher.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

class CharacterSet {
 public:
  CharacterSet() : bits_(size_t{unicode::kCodePoints} + 1, false) {}
  bool has(char32_t c) const { return bits_[c]; }
  void add(char32_t first, char32_t last) {
    for (char32_t c = first; c <= last; ++c) bits_[c] = true;
  }
  void add_flag(int flag) {
    for (char32_t c = 0; c < unicode::kCodePoints; ++c) {
      if ((unicode::flags()[c] & flag) != 0) bits_[c] = true;
    }
  }
  void invert() { bits_.flip(); }

 private:
  std::vector<bool> bits_;
};

struct ClassPattern {
  std::optional<CharacterSet> lead;  ///< one such character may come before
  CharacterSet set;
  int most = 1;  ///< characters in a run; 0 for any number
};

// A reader of the few forms above; every function returns false for anything else.
class Parser {
 public:
  explicit Parser(std::string_view regex) : rest_(regex) {}

  std::optional<ClassPattern> parse() {
    ClassPattern pattern;
    CharacterSet first;
    if (!atom(first)) return std::nullopt;
    if (eat("?")) {
      pattern.lead = std::move(first);
      if (!atom(pattern.set)) return std::nullopt;
    } else {
      pattern.set = std::move(first);
    }
    if (eat("+")) {
      pattern.most = 0;
    } else if (eat("{1,")) {
      if (rest_.size() < 2 || rest_[0] < '1' || rest_[0] > '9' || rest_[1] != '}') return std::nullopt;
      pattern.most = rest_[0] - '0';
      rest_.remove_prefix(2);
    }
    if (!rest_.empty()) return std::nullopt;
    return pattern;
  }

 private:
  bool eat(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  /// `\s`, `\p{L}` and its kind.
  bool property(CharacterSet& set) {
    if (eat("\\s")) return set.add_flag(unicode::kSpace), true;
    if (eat("\\p{L}")) return set.add_flag(unicode::kLetter), true;
    if (eat("\\p{M}")) return set.add_flag(unicode::kMark), true;
    if (eat("\\p{N}")) return set.add_flag(unicode::kNumber), true;
    if (eat("\\p{P}")) return set.add_flag(unicode::kPunctuation), true;
    if (eat("\\p{S}")) return set.add_flag(unicode::kSymbol), true;
    return false;
  }
  /// One character inside a class, as itself or escaped.
  bool literal(char32_t& c) {
    if (eat("\\r")) return c = '\r', true;
    if (eat("\\n")) return c = '\n', true;
    if (eat("\\t")) return c = '\t', true;
    if (!rest_.empty() && rest_[0] == '\\') {
      // only punctuation: an escaped letter or digit means something else
      constexpr std::string_view kEscapable = "-\\[]^.$|?*+(){}/";
      if (rest_.size() < 2 || kEscapable.find(rest_[1]) == kEscapable.npos) return false;
      rest_.remove_prefix(1);
    } else if (rest_.empty() || rest_[0] == '[' || rest_[0] == ']' || rest_.substr(0, 2) == "&&") {
      return false;
    }
    const unicode::Step step = unicode::step(rest_.data(), rest_.data() + rest_.size());
    if (step.code_point == unicode::kInvalid) return false;
    c = step.code_point;
    rest_.remove_prefix(step.length);
    return true;
  }
  bool atom(CharacterSet& set) {
    if (property(set)) return true;
    if (eat(" ")) return set.add(' ', ' '), true;
    if (!eat("[")) return false;
    const bool inverted = eat("^");
    while (!eat("]")) {
      if (property(set)) continue;
      char32_t first, last;
      if (!literal(first)) return false;
      last = first;
      if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
        rest_.remove_prefix(1);
        if (!literal(last) || last < first) return false;
      }
      set.add(first, last);
    }
    if (inverted) set.invert();
    return true;
  }

  std::string_view rest_;
};

class ClassMatcher : public Matcher {
 public:
  explicit ClassMatcher(ClassPattern pattern) : pattern_(std::move(pattern)) {}

  Match next(std::string_view text, size_t from) const override {
    const char* end = text.data() + text.size();
    for (const char* p = text.data() + from; p != end;) {
      const unicode::Step first = unicode::step(p, end);
      const char* begin = p;
      p += first.length;
      // greedy: the lead is tried first, and given up if no run follows it
      if (pattern_.lead && pattern_.lead->has(first.code_point) && p != end) {
        const unicode::Step second = unicode::step(p, end);
        if (pattern_.set.has(second.code_point)) {
          return {offset(text, begin), offset(text, run(p + second.length, end))};
        }
      }
      if (pattern_.set.has(first.code_point)) return {offset(text, begin), offset(text, run(p, end))};
    }
    return {};
  }

 private:
  static size_t offset(std::string_view text, const char* p) { return static_cast<size_t>(p - text.data()); }
  /// Past what follows the run's first character.
  const char* run(const char* p, const char* end) const {
    for (int length = 1; p != end && (pattern_.most == 0 || length < pattern_.most); ++length) {
      const unicode::Step step = unicode::step(p, end);
      if (!pattern_.set.has(step.code_point)) break;
      p += step.length;
    }
    return p;
  }

  ClassPattern pattern_;
};

// `\s+$`, where $ is the end of the text or the place before a line feed (Oniguruma's Ruby syntax).
class TrailingSpaceMatcher : public Matcher {
 public:
  Match next(std::string_view text, size_t from) const override {
    const char *data = text.data(), *end = data + text.size();
    const uint8_t* flags = unicode::flags();
    for (const char* p = data + from; p != end;) {
      const char *begin = p, *last_line_end = nullptr;
      while (p != end) {
        const unicode::Step step = unicode::step(p, end);
        if ((flags[step.code_point] & unicode::kSpace) == 0) break;
        if (*p == '\n' && p != begin) last_line_end = p;
        p += step.length;
      }
      if (p == end && p != begin) return {static_cast<size_t>(begin - data), text.size()};
      if (last_line_end != nullptr) {
        return {static_cast<size_t>(begin - data), static_cast<size_t>(last_line_end - data)};
      }
      if (p != end) p += unicode::step(p, end).length;
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<Matcher> make_class_matcher(std::string_view regex) {
  if (regex == "\\s+$") return std::make_unique<TrailingSpaceMatcher>();
  if (auto pattern = Parser(regex).parse()) return std::make_unique<ClassMatcher>(std::move(*pattern));
  return nullptr;
}

}  // namespace dsmoe::tokenizer
