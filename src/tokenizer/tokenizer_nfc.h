// Unicode normalisation form C, for tokenizers that ask for it (Qwen's). Invalid bytes stay as they are and part the
// text. By utf8proc, whose Unicode version (14.0 in Debian 12) only matters for characters newer than it.
#pragma once

#include <string>
#include <string_view>

namespace dsmoe::tokenizer {

std::string to_nfc(std::string_view text);
/// True only for text that to_nfc would not change; false for some more. Fast.
bool is_certainly_nfc(std::string_view text);

}  // namespace dsmoe::tokenizer
