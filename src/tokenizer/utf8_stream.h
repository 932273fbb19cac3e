// Bytes of tokens to text that may be shown: never half a character, never an invalid byte.
//
// A token may end inside a character. What is not complete yet is kept back until the next token completes it or shows
// that nothing will. Invalid bytes become U+FFFD, one for each longest beginning of a character (as the Unicode
// standard and Hugging Face's decoder do it), so that what all push() and the flush() return, joined, is
// replace_invalid_utf8(all bytes), however the bytes were cut.
#pragma once

#include <string>
#include <string_view>

namespace dsmoe::tokenizer {

class Utf8Stream {
 public:
  /// Takes bytes, returns the text that they complete; valid UTF-8, perhaps empty.
  std::string push(std::string_view bytes);
  /// The end: an unfinished character becomes one U+FFFD. The stream may be used again.
  std::string flush();
  /// Bytes kept back; at most 3.
  const std::string& pending() const { return pending_; }

 private:
  std::string pending_;
};

/// The text with U+FFFD in place of what is not UTF-8.
std::string replace_invalid_utf8(std::string_view bytes);

}  // namespace dsmoe::tokenizer
