#include "eval/answer_match.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/unicode.h"

namespace dsmoe::eval {
namespace {

namespace unicode = tokenizer::unicode;

bool is_space(char32_t c) { return (unicode::flags()[c] & unicode::kSpace) != 0; }

// Python's string.punctuation, and what TriviaQA's script adds to it.
bool is_punctuation(char32_t c, Normalisation rule) {
  constexpr std::u32string_view kAscii = U"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", kQuotes = U"\u2018\u2019\u00b4";
  return kAscii.find(c) != kAscii.npos || (rule == Normalisation::kTriviaQa && kQuotes.find(c) != kQuotes.npos);
}

std::u32string characters_of(std::string_view text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::step(text.data() + at, text.data() + text.size());
    out += code_point == unicode::kInvalid ? U'\ufffd' : code_point;
    at += length;
  }
  return out;
}

// Stretches of word characters that are a, an or the become a space, wherever they stand between others.
std::u32string without_articles(const std::u32string& text) {
  std::u32string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && unicode::is_word_character(text[end])) ++end;
    const std::u32string word = text.substr(at, end - at);
    out += word == U"a" || word == U"an" || word == U"the" ? U" " : word;
    if (end < text.size()) out += text[end++];
    at = end;
  }
  return out;
}

// White space at both ends goes; within, where `squeeze` says so, any of it is one space.
std::string trimmed(const std::u32string& text, bool squeeze) {
  std::string out;
  const auto begin = std::find_if_not(text.begin(), text.end(), is_space);
  const auto end = std::find_if_not(text.rbegin(), std::make_reverse_iterator(begin), is_space).base();
  for (auto at = begin; at != end; ++at) {
    if (squeeze && is_space(*at)) {
      if (!is_space(*(at + 1))) out += ' ';  // the last is no space
    } else {
      base::append_utf8(out, *at);
    }
  }
  return out;
}

}  // namespace

std::string normalised_answer(std::string_view text, Normalisation rule) {
  std::u32string characters = characters_of(text);
  if (rule == Normalisation::kNone) return trimmed(characters, false);
  std::u32string kept;
  for (const char32_t c : characters) {
    if (!is_punctuation(c, rule)) {
      kept += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    } else if (rule == Normalisation::kTriviaQa) {
      kept += U' ';
    }
  }
  return trimmed(without_articles(kept), true);
}

bool matches_any(std::string_view written, std::span<const std::string> answers, Normalisation rule) {
  const std::string found = normalised_answer(written, rule);
  return std::any_of(answers.begin(), answers.end(),
                     [&](const std::string& answer) { return found == normalised_answer(answer, rule); });
}

}  // namespace dsmoe::eval
