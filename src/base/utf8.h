// UTF-8: validity and stepping.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dsmoe::base {

/// U+FEFF in front of a text: it says how the text is encoded and is no part of it.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Length of the valid UTF-8 character at `at`, or 0 if the bytes there are not one (overlong forms, surrogates,
/// values above U+10FFFF and cut sequences are not). `code_point` receives its value.
size_t utf8_decode(std::string_view text, size_t at, char32_t& code_point);
/// Offset of the first byte that is not part of valid UTF-8, or npos.
size_t first_invalid_utf8(std::string_view text);
/// Appends the UTF-8 form of a code point.
void append_utf8(std::string& out, char32_t code_point);

}  // namespace dsmoe::base
