// What a person sees as one character, and the columns of a terminal that it takes.
//
// A character is a grapheme cluster (Unicode's UAX 29): a letter with its accents, a flag, a family of emoji. Terminals
// do not agree on how wide the longer ones are; see columns().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dsmoe::terminal {

/// The offset behind the character that begins at `at`; text.size() at the end. The text is valid UTF-8.
size_t character_end(std::string_view text, size_t at);
/// Where the character before `at` begins; 0 at the beginning.
size_t character_begin(std::string_view text, size_t at);

/// Whether the character at `at` is part of a word: a letter, mark or digit of any script.
bool in_word(std::string_view text, size_t at);

/// Columns that a character takes at most: terminals that do not join the parts of an emoji show them side by side.
size_t columns(std::string_view character);

/// What is shown for a character: a tab as spaces, everything else as it is.
std::string_view shown(std::string_view character);

/// Lines as they may be edited: every end of a line is one \n, and other control characters than tabs are gone. What is
/// no UTF-8 becomes U+FFFD.
std::string cleaned(std::string_view text);

}  // namespace dsmoe::terminal
