#include "tokenizer/utf8_stream.h"

#include "base/utf8.h"

namespace dsmoe::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

// How many bytes at `at` could begin a character, and whether more bytes could complete it. The second byte's bounds
// keep out overlong forms, surrogates and values above U+10FFFF as soon as they show.
struct Beginning {
  size_t length;  ///< at least 1
  bool may_continue;
};
Beginning beginning(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  size_t length = 1;
  for (; length < wanted && at + length < text.size(); ++length) {
    unsigned least = 0x80, most = 0xbf;
    if (length == 1 && lead == 0xe0) least = 0xa0;
    if (length == 1 && lead == 0xed) most = 0x9f;
    if (length == 1 && lead == 0xf0) least = 0x90;
    if (length == 1 && lead == 0xf4) most = 0x8f;
    const unsigned next = byte(at + length);
    if (next < least || next > most) return {length, false};
  }
  return {length, length < wanted};
}

// Appends the text of `bytes`; returns how many of them were used, all but an unfinished character at the end.
size_t append_valid(std::string_view bytes, std::string& out) {
  char32_t ignored;
  size_t at = 0;
  while (at < bytes.size()) {
    if (const size_t length = base::utf8_decode(bytes, at, ignored); length > 0) {
      out.append(bytes.substr(at, length));
      at += length;
      continue;
    }
    const Beginning start = beginning(bytes, at);
    if (start.may_continue) break;
    out += kReplacement;
    at += start.length;
  }
  return at;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  pending_.erase(0, append_valid(pending_, out));
  return out;
}

std::string Utf8Stream::flush() {
  if (pending_.empty()) return {};
  pending_.clear();
  return std::string(kReplacement);
}

std::string replace_invalid_utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string out = stream.push(bytes);
  return out += stream.flush();
}

}  // namespace dsmoe::tokenizer
