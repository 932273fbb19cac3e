#include "tokenizer/bpe_alphabet.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace dsmoe::tokenizer {
namespace {

constexpr char32_t kLetters = 0x100 + 68;

struct Alphabet {
  std::array<char32_t, 256> letters{};
  std::array<int16_t, kLetters> bytes{};

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
      letters[byte] = printable ? byte : next++;
      bytes[letters[byte]] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

char32_t byte_to_letter(unsigned char byte) { return alphabet().letters[byte]; }

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) base::append_utf8(out, byte_to_letter(static_cast<unsigned char>(byte)));
  return out;
}

std::optional<std::string> alphabet_to_bytes(std::string_view text) {
  std::string out;
  char32_t letter;
  for (size_t at = 0; at < text.size();) {
    const size_t length = base::utf8_decode(text, at, letter);
    if (length == 0 || letter >= kLetters || alphabet().bytes[letter] < 0) return std::nullopt;
    out += static_cast<char>(alphabet().bytes[letter]);
    at += length;
  }
  return out;
}

}  // namespace dsmoe::tokenizer
