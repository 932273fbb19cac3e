// Tokens as a person reads them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer.h"

namespace dsmoe::study {

/// The token's text; bytes that are no whole character as <0xE2>, as a token may be a part of one.
std::string token_text(const tokenizer::Tokenizer& tokenizer, int32_t id);
/// Text for one line of a terminal: quoted, control characters and bytes that are no UTF-8 escaped.
std::string shown_text(std::string_view text);
/// A token likewise: quoted, control characters escaped; the id alone without a tokenizer.
std::string shown_token(const tokenizer::Tokenizer* tokenizer, int32_t id);

}  // namespace dsmoe::study
