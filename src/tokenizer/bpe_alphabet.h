// GPT-2's byte alphabet: every byte as one printable character, so that byte tokens can be written as text in
// tokenizer.json and GGUF. Printable Latin-1 bytes are themselves; the other 68, in order, are U+0100 and on (a space
// is `Ġ`, a line feed `Ċ`).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dsmoe::tokenizer {

char32_t byte_to_letter(unsigned char byte);
std::string bytes_to_alphabet(std::string_view bytes);
/// Nothing if a character of `text` is not of the alphabet (added tokens with other characters, say).
std::optional<std::string> alphabet_to_bytes(std::string_view text);

}  // namespace dsmoe::tokenizer
