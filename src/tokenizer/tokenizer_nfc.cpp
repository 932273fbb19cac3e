#include "tokenizer/tokenizer_nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

void append_decomposed(char32_t c, std::vector<utf8proc_int32_t>& out) {
  utf8proc_int32_t parts[8];  // a canonical decomposition has at most four
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8,
                              static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &boundary);
  DSMOE_CHECK(count >= 0 && count <= 8, "a character decomposes");
  out.insert(out.end(), parts, parts + count);
}

// Marks in the order of their combining class. The library's own ordering is an insertion sort, quadratic in the marks
// on one letter, of which a stranger's text may have a million.
void order_marks(std::vector<utf8proc_int32_t>& text) {
  const auto combining_class = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (auto begin = text.begin(); begin != text.end();) {
    const auto end = std::find_if(begin, text.end(), [&](auto c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end, [&](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end == text.end() ? end : end + 1;
  }
}

void append_nfc(std::vector<utf8proc_int32_t>& text, std::string& out) {
  order_marks(text);
  const auto length = utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(text.size()),
                                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  DSMOE_CHECK(length >= 0 && static_cast<size_t>(length) <= text.size(), "text composes");
  for (size_t i = 0; i < static_cast<size_t>(length); ++i) base::append_utf8(out, static_cast<char32_t>(text[i]));
  text.clear();
}

}  // namespace

std::string to_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> decomposed;
  for (const char *p = text.data(), *end = p + text.size(); p != end;) {
    const unicode::Step step = unicode::step(p, end);
    if (step.code_point == unicode::kInvalid) {
      append_nfc(decomposed, out);
      out += *p;
    } else {
      append_decomposed(step.code_point, decomposed);
    }
    p += step.length;
  }
  append_nfc(decomposed, out);
  return out;
}

bool is_certainly_nfc(std::string_view text) {
  for (const char *p = text.data(), *end = p + text.size(); p != end;) {
    const unicode::Step step = unicode::step(p, end);
    const char32_t c = step.code_point;
    // ranges in which nothing decomposes, is reordered or joins what is before it; the tests try every code point
    const bool inert = c < 0x300 || (c >= 0x400 && c <= 0x482) || (c >= 0x2010 && c <= 0x2027) ||
                       (c >= 0x3000 && c <= 0x3029) || (c >= 0x3041 && c <= 0x3096) || (c >= 0x309b && c <= 0x9fff) ||
                       (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xff00 && c <= 0xffdc) || (c >= 0x1f300 && c <= 0x1faff);
    if (!inert) return false;
    p += step.length;
  }
  return true;
}

}  // namespace dsmoe::tokenizer
