#include "schema/regex.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "schema/refuse.h"

namespace dsmoe::schema {
namespace {

constexpr size_t kLongest = 4096;
constexpr int kMostWithin = 64;
constexpr int32_t kMostRepeats = 1000;

Regex character(CodePointSet set) { return {.kind = Regex::Kind::kCharacter, .set = std::move(set)}; }
Regex sequence(std::vector<Regex> parts) { return {.kind = Regex::Kind::kSequence, .parts = std::move(parts)}; }
Regex repeat(Regex part, int32_t least, int32_t most) {
  return {.kind = Regex::Kind::kRepeat, .parts = {std::move(part)}, .least = least, .most = most};
}
Regex anything() { return repeat(character(all_code_points()), 0, kEndless); }

const CodePointSet& line_ends() {
  static const CodePointSet set = united({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
  return set;
}

// \d, \w and \s as ECMA-262 has them; a capital letter is the opposite.
std::optional<CodePointSet> named_class(uint32_t letter) {
  switch (letter) {
    case 'd':
      return united({{'0', '9'}});
    case 'w':
      return united({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}});
    case 's':
      return united({{'\t', '\r'},
                     {' ', ' '},
                     {0xa0, 0xa0},
                     {0x1680, 0x1680},
                     {0x2000, 0x200a},
                     {0x2028, 0x2029},
                     {0x202f, 0x202f},
                     {0x205f, 0x205f},
                     {0x3000, 0x3000},
                     {0xfeff, 0xfeff}});
    case 'D':
    case 'W':
    case 'S':
      return complement(*named_class(letter - 'A' + 'a'));
    default:
      return {};
  }
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& place) : place_(place) {
    if (text.size() > kLongest) fail("it may have " + std::to_string(kLongest) + " bytes");
    for (size_t at = 0; at < text.size();) {
      char32_t code_point = 0;
      const size_t bytes = base::utf8_decode(text, at, code_point);
      if (bytes == 0) fail("it must be valid UTF-8");
      text_.push_back(code_point);
      at += bytes;
    }
  }

  Regex parse() {
    Regex all = alternatives(true);
    if (at_ < text_.size()) fail("a ) without its (");
    return all;
  }

 private:
  [[noreturn]] void fail(const std::string& rule) const {
    refuse(place_, "pattern, at character " + std::to_string(at_ + 1) + ": " + rule);
  }
  bool has(uint32_t c, size_t ahead = 0) const { return at_ + ahead < text_.size() && text_[at_ + ahead] == c; }
  bool take(uint32_t c) { return has(c) && ++at_ > 0; }
  bool at_end_of_alternative() const { return at_ == text_.size() || has('|') || has(')'); }

  Regex alternatives(bool outermost) {
    Regex all{.kind = Regex::Kind::kAlternatives};
    do {
      all.parts.push_back(outermost ? found_anywhere() : alternative());
    } while (take('|'));
    return all.parts.size() == 1 ? std::move(all.parts.front()) : all;
  }

  // An alternative of the whole pattern: other text may stand before and behind it where it is not anchored.
  Regex found_anywhere() {
    std::vector<Regex> parts;
    if (!take('^')) parts.push_back(anything());
    parts.push_back(alternative());
    if (!take('$')) parts.push_back(anything());
    if (!at_end_of_alternative()) fail("$ may only stand at the end");
    return sequence(std::move(parts));
  }

  Regex alternative() {
    std::vector<Regex> parts;
    while (!at_end_of_alternative() && !has('$')) parts.push_back(quantified());
    return sequence(std::move(parts));
  }

  Regex quantified() {
    Regex part = atom();
    const auto [least, most] = quantifier();
    if (least == 1 && most == 1) return part;
    take('?');  // lazy: the same texts
    if (has('*') || has('+') || has('?') || has('{')) fail("nothing to repeat");
    return repeat(std::move(part), least, most);
  }

  std::pair<int32_t, int32_t> quantifier() {
    if (take('*')) return {0, kEndless};
    if (take('+')) return {1, kEndless};
    if (take('?')) return {0, 1};
    if (!take('{')) return {1, 1};
    const int32_t least = count();
    int32_t most = least;
    if (take(',')) most = has('}') ? kEndless : count();
    if (!take('}')) fail("a quantifier ends with }");
    if (most != kEndless && most < least) fail("a quantifier's bounds must ascend");
    // {1} alone repeats once: a question mark behind it is still its own.
    if (least == 1 && most == 1) take('?');
    return {least, most};
  }

  int32_t count() {
    int32_t value = 0;
    const size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + static_cast<int32_t>(text_[at_] - '0');
      if (value > kMostRepeats) fail("at most " + std::to_string(kMostRepeats) + " repeats");
    }
    if (at_ == begin) fail("a quantifier needs a number");
    return value;
  }

  Regex atom() {
    const uint32_t c = text_[at_];
    if (c == '(') return group();
    if (c == '[') return character(char_class());
    if (c == '^') fail("^ may only stand at the beginning");
    if (c == '*' || c == '+' || c == '?') fail("nothing to repeat");
    if (c == '{' || c == '}' || c == ']') fail("stands for itself only behind a backslash");
    ++at_;
    if (c == '.') return character(complement(line_ends()));
    if (c == '\\') return character(escape());
    return character(united({{c, c}}));
  }

  Regex group() {
    if (++within_ > kMostWithin) fail("groups may stand within " + std::to_string(kMostWithin) + " others");
    ++at_;
    if (take('?')) {
      const bool named = has('<') && !has('=', 1) && !has('!', 1);
      if (!named && !take(':')) fail("look-ahead and look-behind are not supported");
      while (named && !take('>')) {
        if (++at_ >= text_.size()) fail("a group's name ends with >");
      }
    }
    Regex inside = alternatives(false);
    if (has('$')) fail("$ may only stand at the end");
    if (!take(')')) fail("a ( without its )");
    --within_;
    return inside;
  }

  // Behind the backslash.
  CodePointSet escape() {
    if (at_ == text_.size()) fail("a backslash needs something behind it");
    const uint32_t c = text_[at_];
    if (auto named = named_class(c)) {
      ++at_;
      return *named;
    }
    const uint32_t value = escaped_character();
    return united({{value, value}});
  }

  uint32_t escaped_character() {
    const uint32_t c = text_[at_++];
    constexpr std::string_view kNames = "tnvfr", kMeanings = "\t\n\v\f\r", kSyntax = "^$\\.*+?()[]{}|/-";
    if (const size_t i = c < 0x80 ? kNames.find(static_cast<char>(c)) : kNames.npos; i != kNames.npos) {
      return static_cast<uint8_t>(kMeanings[i]);
    }
    if (c == '0' && !(at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9')) return 0;
    if (c == 'x') return hex(2);
    if (c == 'u') return unicode();
    if (c < 0x80 && kSyntax.find(static_cast<char>(c)) != kSyntax.npos) return c;
    --at_;
    fail("an escape that is not supported (back references, \\b and \\p among them)");
  }

  uint32_t hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const uint32_t c = at_ < text_.size() ? text_[at_] : 0;
      const uint32_t lower = c | 0x20;
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + (lower - 'a' + 10);
      } else {
        fail("hexadecimal digits are missing");
      }
    }
    return value;
  }

  uint32_t unicode() {
    uint32_t value = 0;
    if (take('{')) {
      do {
        value = value * 16 + hex(1);
        if (value > kLastCodePoint) fail("no code point");
      } while (!take('}'));
    } else {
      value = hex(4);
      if (value >= 0xd800 && value <= 0xdbff && has('\\') && has('u', 1)) {
        at_ += 2;
        const uint32_t low = hex(4);
        if (low < 0xdc00 || low > 0xdfff) fail("half a pair of surrogates");
        return 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
      }
    }
    if (value >= 0xd800 && value <= 0xdfff) fail("half a pair of surrogates");
    return value;
  }

  CodePointSet char_class() {
    ++at_;
    const bool negated = take('^');
    std::vector<CodePoints> ranges;
    while (!take(']')) {
      if (at_ == text_.size()) fail("a [ without its ]");
      const CodePointSet first = class_atom();
      const bool is_range = has('-') && at_ + 1 < text_.size() && !has(']', 1);
      if (!is_range) {
        ranges.insert(ranges.end(), first.begin(), first.end());
        continue;
      }
      ++at_;
      const CodePointSet last = class_atom();
      if (!is_one(first) || !is_one(last)) fail("a range goes from one character to another");
      if (last[0].least < first[0].least) fail("a range must ascend");
      ranges.push_back({first[0].least, last[0].least});
    }
    CodePointSet set = united(std::move(ranges));
    return negated ? complement(set) : set;
  }

  static bool is_one(const CodePointSet& set) { return set.size() == 1 && set[0].least == set[0].most; }

  CodePointSet class_atom() {
    const uint32_t c = text_[at_++];
    if (c != '\\') return united({{c, c}});
    if (take('b')) return united({{'\b', '\b'}});
    return escape();
  }

  const std::string& place_;
  std::vector<uint32_t> text_;
  size_t at_ = 0;
  int within_ = 0;
};

}  // namespace

Regex parse_regex(std::string_view pattern, const std::string& place) { return Parser(pattern, place).parse(); }

}  // namespace dsmoe::schema
