// The known regular expressions, each written out as one function: where does a match that begins here end?
//
// Every rule looks at each character a bounded number of times, whatever the text; the expressions' alternatives are
// quoted beside the lines that decide them, in their order. pretokenizer_test.cpp holds them to PCRE2.
#include <cstdint>

#include "tokenizer/pretokenizer_matcher.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

using namespace unicode;  // the flags

struct Character {
  uint8_t flags;
  uint8_t length;  ///< 0 at the end of the text
  bool any(int wanted) const { return (flags & wanted) != 0; }
};

class Reader {
 public:
  Reader(std::string_view text) : flags_(unicode::flags()), end_(text.data() + text.size()) {}
  const char* end() const { return end_; }

  Character at(const char* p) const {
    if (p == end_) return {0, 0};
    const auto lead = static_cast<unsigned char>(*p);
    if (lead < 0x80) return {flags_[lead], 1};
    const Step step = step_wide(p, end_);
    return {flags_[step.code_point], static_cast<uint8_t>(step.length)};
  }
  /// Past the characters from p on that have one of the flags.
  const char* run(const char* p, int wanted) const {
    for (Character c = at(p); c.any(wanted); c = at(p)) p += c.length;
    return p;
  }
  /// Past at least one, at most `most` numbers.
  const char* numbers(const char* p, int most) const {
    for (Character c = at(p); most-- > 0 && c.any(kNumber); c = at(p)) p += c.length;
    return p;
  }
  /// Past characters that are none of space, letter, number: [^\s\p{L}\p{N}]*
  const char* others(const char* p) const {
    for (Character c = at(p); c.length > 0 && !c.any(kSpace | kLetter | kNumber); c = at(p)) p += c.length;
    return p;
  }
  /// `\s*[\r\n]+|\s+(?!\S)|\s+` (without the first alternative if `newlines` is false): up to the run's last newline;
  /// else the run but for its last character, which belongs to the word behind it; else the run.
  const char* white(const char* p, bool newlines = true) const {
    const char *last = p, *after_newline = nullptr, *q = p;
    for (Character c = at(q); c.any(kSpace); c = at(q)) {
      last = q;
      q += c.length;
      if (c.any(kNewline)) after_newline = q;
    }
    if (newlines && after_newline != nullptr) return after_newline;
    return q == end_ || last == p ? q : last;
  }

 private:
  const uint8_t* flags_;
  const char* end_;
};

bool is_ascii_letter(const char* p, const char* end) {
  return p != end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'));
}

/// Past 's 't 're 've 'm 'll 'd, or p. With any case, `ſ` (U+017F) counts as an s, as case folding has it.
const char* contraction(const char* p, const char* end, bool any_case) {
  const auto letter = [&](ptrdiff_t i) -> char {
    if (end - p <= i) return 0;
    const char c = p[i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  if (letter(0) != '\'') return p;
  const char a = letter(1), b = letter(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return p + 3;
  if (any_case && a == '\xc5' && b == '\xbf') return p + 3;
  return p;
}

// Each rule: the end of the match that begins at p, or p if none does; p is not the end.

struct DeepSeekV3Rule {
  static const char* match(const Reader& r, const char* p) {
    const Character c = r.at(p);
    const char* next = p + c.length;
    if (c.any(kLetter | kMark)) return r.run(next, kLetter | kMark);  // [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
    if (c.any(kPunctuation | kSymbol)) {
      // [!-~ without letters and digits][A-Za-z]+
      if (c.length == 1 && is_ascii_letter(next, r.end())) {
        while (is_ascii_letter(next, r.end())) ++next;
        return next;
      }
      return r.run(r.run(next, kPunctuation | kSymbol), kNewline);  //  ?[\p{P}\p{S}]+[\r\n]*
    }
    const Character d = r.at(next);
    if (!c.any(kNewline) && d.any(kLetter | kMark)) return r.run(next, kLetter | kMark);
    if (*p == ' ' && d.any(kPunctuation | kSymbol)) {
      return r.run(r.run(next, kPunctuation | kSymbol), kNewline);
    }
    if (c.any(kSpace)) return r.white(p);
    return p;  // numbers and the unassigned, unless a word follows them
  }
};

template <int kDigits>
struct Llama3Rule {
  static const char* match(const Reader& r, const char* p) {
    if (*p == '\'') {
      if (const char* end = contraction(p, r.end(), true); end != p) return end;
    }
    const Character c = r.at(p);
    const char* next = p + c.length;
    if (c.any(kLetter)) return r.run(next, kLetter);  // [^\r\n\p{L}\p{N}]?\p{L}+
    if (c.any(kNumber)) return r.numbers(p, kDigits);
    const Character d = r.at(next);
    if (!c.any(kNewline) && d.any(kLetter)) return r.run(next, kLetter);
    if (!c.any(kSpace)) return r.run(r.others(next), kNewline);  //  ?[^\s\p{L}\p{N}]+[\r\n]*
    if (*p == ' ' && d.length > 0 && !d.any(kSpace | kLetter | kNumber)) return r.run(r.others(next), kNewline);
    return r.white(p);
  }
};

struct Gpt2Rule {
  static const char* match(const Reader& r, const char* p) {
    if (*p == '\'') {
      if (const char* end = contraction(p, r.end(), false); end != p) return end;
    }
    // the same three alternatives with and without a leading space
    const char* word = *p == ' ' ? p + 1 : p;
    const Character c = r.at(word);
    if (c.any(kLetter)) return r.run(word, kLetter);
    if (c.any(kNumber)) return r.run(word, kNumber);
    if (c.length > 0 && !c.any(kSpace)) return r.others(word);
    return r.white(p, false);
  }
};

template <class Rule>
class RuleMatcher : public Matcher {
 public:
  Match next(std::string_view text, size_t from) const override {
    const Reader reader(text);
    for (const char* p = text.data() + from; p != reader.end(); p += reader.at(p).length) {
      const char* end = Rule::match(reader, p);
      if (end != p) return {static_cast<size_t>(p - text.data()), static_cast<size_t>(end - text.data())};
    }
    return {};
  }
};

std::string_view between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

template <class Rule>
void split_by(std::string_view text, PieceSink& out) {
  const Reader reader(text);
  const char* gap = text.data();  // characters since the last match that nothing matched
  for (const char* p = gap; p != reader.end();) {
    const char* end = Rule::match(reader, p);
    if (end == p) {
      p += reader.at(p).length;
      continue;
    }
    if (gap != p) out.piece(between(gap, p));
    out.piece(between(p, end));
    gap = p = end;
  }
  if (gap != reader.end()) out.piece(between(gap, reader.end()));
}

template <class Rule>
class RuleStage : public PreTokenizer {
 public:
  void split(std::string_view text, PieceSink& out) const override { split_by<Rule>(text, out); }
};

// Numbers in threes, then runs of kana and Han, then words: each Split sees only what lies between the earlier ones'
// borders, so the text falls into numbers and stretches that are all East Asian or not at all.
class DeepSeekV3Stage : public PreTokenizer {
 public:
  void split(std::string_view text, PieceSink& out) const override {
    const Reader reader(text);
    for (const char* p = text.data(); p != reader.end();) {
      Character c = reader.at(p);
      const char* begin = p;
      if (c.any(kNumber)) {
        p = reader.numbers(p, 3);
        out.piece(between(begin, p));
        continue;
      }
      const int side = c.flags & kEastAsian;
      do {
        p += c.length;
        c = reader.at(p);
      } while (c.length > 0 && !c.any(kNumber) && (c.flags & kEastAsian) == side);
      split_by<DeepSeekV3Rule>(between(begin, p), out);
    }
  }
};

}  // namespace

std::unique_ptr<Matcher> make_rule_matcher(std::string_view regex) {
  if (regex == kDeepSeekV3Words) return std::make_unique<RuleMatcher<DeepSeekV3Rule>>();
  if (regex == kLlama3Words) return std::make_unique<RuleMatcher<Llama3Rule<3>>>();
  if (regex == kQwen2Words) return std::make_unique<RuleMatcher<Llama3Rule<1>>>();
  if (regex == kGpt2Words) return std::make_unique<RuleMatcher<Gpt2Rule>>();
  return nullptr;
}

std::unique_ptr<PreTokenizer> make_rule_stage(std::string_view regex) {
  if (regex == kDeepSeekV3Words) return std::make_unique<RuleStage<DeepSeekV3Rule>>();
  if (regex == kLlama3Words) return std::make_unique<RuleStage<Llama3Rule<3>>>();
  if (regex == kQwen2Words) return std::make_unique<RuleStage<Llama3Rule<1>>>();
  if (regex == kGpt2Words) return std::make_unique<RuleStage<Gpt2Rule>>();
  return nullptr;
}

std::unique_ptr<PreTokenizer> make_deepseek_v3_stage() { return std::make_unique<DeepSeekV3Stage>(); }

}  // namespace dsmoe::tokenizer
