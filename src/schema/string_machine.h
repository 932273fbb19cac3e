// The inside of a JSON string, a byte at a time: valid UTF-8, escapes, surrogates in pairs, code points counted.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "schema/code_points.h"

namespace dsmoe::schema {

/// Between the quotes.
struct StringState {
  enum class In : uint8_t { kText, kTail, kEscape, kHex, kLowSlash, kLowU, kLowHex };
  In in = In::kText;
  uint8_t left = 0;                 ///< bytes or hexadecimal digits of the character that are missing
  uint8_t low = 0x80, high = 0xbf;  ///< what the next byte of a character may be
  uint32_t value = 0;               ///< of the character so far
  uint32_t lead = 0;                ///< of a pair of surrogates the first
  int64_t count = 0;                ///< code points so far; beyond `count_to` not counted
  auto operator<=>(const StringState&) const = default;
};

/// Whether a quote may end the string here, as far as the string itself goes.
inline bool between_characters(const StringState& s) { return s.in == StringState::In::kText; }

/// Reads a byte that is no closing quote; false where it may not come. The string has at most `most` code points;
/// counting stops at `count_to`. `whole` becomes the code point that this byte completes, however it is written, or -1.
bool read_string_byte(StringState& state, uint8_t byte, int64_t most, int64_t count_to, int32_t& whole);

/// Within a character, which code points it may still become: two ranges, either of which may be empty. Surrogates
/// among them stand for nothing.
std::array<CodePoints, 2> code_points_ahead(const StringState& state);

}  // namespace dsmoe::schema
