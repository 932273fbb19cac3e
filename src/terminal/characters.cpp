#include "terminal/characters.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace dsmoe::terminal {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr char32_t kEmojiPresentation = 0xfe0f;            // makes the character before it an emoji

/// The code point at `at`, and the offset behind it.
char32_t code_point(std::string_view text, size_t at, size_t& end) {
  char32_t value = 0;
  const size_t length = base::utf8_decode(text, at, value);
  end = at + std::max<size_t>(length, 1);
  return length == 0 ? U'\ufffd' : value;
}

utf8proc_int32_t number(char32_t value) { return static_cast<utf8proc_int32_t>(value); }

}  // namespace

size_t character_end(std::string_view text, size_t at) {
  if (at >= text.size()) return text.size();
  size_t end = 0;
  char32_t last = code_point(text, at, end);
  for (utf8proc_int32_t state = 0; end < text.size();) {
    size_t after = 0;
    const char32_t next = code_point(text, end, after);
    if (utf8proc_grapheme_break_stateful(number(last), number(next), &state)) break;
    last = next;
    end = after;
  }
  return end;
}

// Where a character begins can only be told from the left; no character reaches over the end of a line.
size_t character_begin(std::string_view text, size_t at) {
  if (at == 0) return 0;
  const size_t line_end = text.substr(0, at - 1).rfind('\n');
  size_t begin = line_end == std::string_view::npos ? 0 : line_end + 1;
  for (size_t end; (end = character_end(text, begin)) < at;) begin = end;
  return begin;
}

bool in_word(std::string_view text, size_t at) {
  if (at >= text.size()) return false;
  size_t end = 0;
  const utf8proc_category_t category = utf8proc_category(number(code_point(text, at, end)));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
}

size_t columns(std::string_view character) {
  if (character == "\t") return shown(character).size();
  size_t sum = 0, end = 0;
  for (size_t at = 0; at < character.size(); at = end) {
    const char32_t value = code_point(character, at, end);
    sum += static_cast<size_t>(std::max(0, utf8proc_charwidth(number(value))));
    if (value == kEmojiPresentation) sum = std::max<size_t>(sum, 2);
  }
  return sum;
}

std::string_view shown(std::string_view character) { return character == "\t" ? "    " : character; }

std::string cleaned(std::string_view text) {
  std::string out;
  size_t end = 0;
  for (size_t at = 0; at < text.size(); at = end) {
    char32_t value = 0;
    const size_t length = base::utf8_decode(text, at, value);
    end = at + std::max<size_t>(length, 1);
    if (length == 0) {
      out += kReplacement;
    } else if (value == '\r') {
      out += '\n';
      if (end < text.size() && text[end] == '\n') ++end;
    } else if (value == '\n' || value == '\t' || utf8proc_category(number(value)) != UTF8PROC_CATEGORY_CC) {
      out += text.substr(at, length);
    }
  }
  return out;
}

}  // namespace dsmoe::terminal
