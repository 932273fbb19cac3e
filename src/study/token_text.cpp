#include "study/token_text.h"

#include <cstdio>

#include "base/utf8.h"

namespace dsmoe::study {
namespace {

// Copies whole characters that `keeps` lets through; of everything else each byte in this format.
template <class Keeps>
std::string readable(std::string_view bytes, const char* format, const Keeps& keeps) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    char32_t character = 0;
    const size_t length = base::utf8_decode(bytes, at, character);
    if (length > 0 && keeps(character)) {
      text += bytes.substr(at, length);
      at += length;
      continue;
    }
    char hex[8];
    std::snprintf(hex, sizeof hex, format, static_cast<unsigned>(static_cast<unsigned char>(bytes[at])));
    text += hex;
    ++at;
  }
  return text;
}

}  // namespace

std::string token_text(const tokenizer::Tokenizer& tokenizer, int32_t id) {
  return readable(tokenizer.token_bytes(id), "<0x%02X>", [](char32_t) { return true; });
}

std::string shown_text(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    switch (c) {
      case '\n':
        text += "\\n";
        break;
      case '\t':
        text += "\\t";
        break;
      case '"':
      case '\\':
        text += '\\';
        [[fallthrough]];
      default:
        text += c;
    }
  }
  return "\"" + readable(text, "\\x%02x", [](char32_t c) { return c >= 0x20 && (c < 0x7f || c > 0x9f); }) + "\"";
}

std::string shown_token(const tokenizer::Tokenizer* tokenizer, int32_t id) {
  return tokenizer == nullptr ? std::to_string(id) : shown_text(tokenizer->token_bytes(id));
}

}  // namespace dsmoe::study
