#include "schema/string_machine.h"

#include <algorithm>

namespace dsmoe::schema {
namespace {

using In = StringState::In;

int hex_digit(uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool is_low_surrogate(uint32_t value) { return value >= 0xdc00 && value <= 0xdfff; }
bool is_high_surrogate(uint32_t value) { return value >= 0xd800 && value <= 0xdbff; }

// A whole character has come.
bool take(StringState& s, uint32_t code_point, int64_t count_to, int32_t& whole) {
  const int64_t count = std::min(s.count + 1, count_to);
  s = {};
  s.count = count;
  whole = static_cast<int32_t>(code_point);
  return true;
}

bool begin_tail(StringState& s, uint32_t value, uint8_t left, uint8_t low = 0x80, uint8_t high = 0xbf) {
  s.in = In::kTail, s.value = value, s.left = left, s.low = low, s.high = high;
  return true;
}

// The first byte of a character, as Unicode's table 3-7 has it.
bool begin_character(StringState& s, uint8_t b, int64_t count_to, int32_t& whole) {
  if (b < 0x20 || b == '"') return false;
  if (b == '\\') {
    s.in = In::kEscape;
    return true;
  }
  if (b < 0x80) return take(s, b, count_to, whole);
  if (b >= 0xc2 && b <= 0xdf) return begin_tail(s, b & 0x1fu, 1);
  if (b == 0xe0) return begin_tail(s, 0, 2, 0xa0);
  if (b == 0xed) return begin_tail(s, 0xd, 2, 0x80, 0x9f);
  if (b >= 0xe1 && b <= 0xef) return begin_tail(s, b & 0xfu, 2);
  if (b == 0xf0) return begin_tail(s, 0, 3, 0x90);
  if (b == 0xf4) return begin_tail(s, 4, 3, 0x80, 0x8f);
  if (b >= 0xf1 && b <= 0xf3) return begin_tail(s, b & 7u, 3);
  return false;
}

bool read_escape(StringState& s, uint8_t b, int64_t count_to, int32_t& whole) {
  constexpr char kNames[] = "\"\\/bfnrt", kMeanings[] = "\"\\/\b\f\n\r\t";
  for (int i = 0; kNames[i] != 0; ++i) {
    if (b == kNames[i]) return take(s, static_cast<uint8_t>(kMeanings[i]), count_to, whole);
  }
  if (b != 'u') return false;
  s.in = In::kHex, s.left = 4, s.value = 0;
  return true;
}

// Digits that can no longer become what must come are refused at once: a first half of a pair, or its second.
bool read_hex(StringState& s, uint8_t b, int64_t count_to, int32_t& whole) {
  const int digit = hex_digit(b);
  if (digit < 0) return false;
  s.value = s.value << 4 | static_cast<uint32_t>(digit);
  --s.left;
  const uint32_t least = s.value << (4 * s.left), most = least | ((1u << (4 * s.left)) - 1);
  if (s.in == In::kLowHex) {
    if (most < 0xdc00 || least > 0xdfff) return false;
    if (s.left > 0) return true;
    return take(s, 0x10000 + ((s.lead - 0xd800) << 10) + (s.value - 0xdc00), count_to, whole);
  }
  if (is_low_surrogate(least) && is_low_surrogate(most)) return false;
  if (s.left > 0) return true;
  if (!is_high_surrogate(s.value)) return take(s, s.value, count_to, whole);
  s.lead = s.value, s.value = 0, s.in = In::kLowSlash;
  return true;
}

}  // namespace

bool read_string_byte(StringState& s, uint8_t b, int64_t most, int64_t count_to, int32_t& whole) {
  whole = -1;
  switch (s.in) {
    case In::kText:
      return s.count < most && begin_character(s, b, count_to, whole);
    case In::kTail:
      if (b < s.low || b > s.high) return false;
      s.value = s.value << 6 | (b & 0x3fu);
      s.low = 0x80, s.high = 0xbf;
      return --s.left > 0 || take(s, s.value, count_to, whole);
    case In::kEscape:
      return read_escape(s, b, count_to, whole);
    case In::kHex:
    case In::kLowHex:
      return read_hex(s, b, count_to, whole);
    case In::kLowSlash:
      s.in = In::kLowU;
      return b == '\\';
    case In::kLowU:
      s.in = In::kLowHex, s.left = 4, s.value = 0;
      return b == 'u';
  }
  return false;
}

std::array<CodePoints, 2> code_points_ahead(const StringState& s) {
  // What a value may become when `bits` more follow.
  const auto with_bits = [](uint32_t value, int bits) {
    return CodePoints{value << bits, (value << bits) | ((1u << bits) - 1)};
  };
  const auto of_pair = [](uint32_t lead, CodePoints low) {
    const uint32_t first = 0x10000 + ((lead - 0xd800) << 10);
    return CodePoints{first + (std::max(low.least, 0xdc00u) - 0xdc00), first + (std::min(low.most, 0xdfffu) - 0xdc00)};
  };
  switch (s.in) {
    case In::kText:
    case In::kEscape:  // \u writes anything
      return {CodePoints{0, kLastCodePoint}};
    case In::kTail: {
      const int bits = 6 * (s.left - 1);
      return {CodePoints{with_bits(s.value << 6 | (s.low & 0x3fu), bits).least,
                         with_bits(s.value << 6 | (s.high & 0x3fu), bits).most}};
    }
    case In::kHex: {
      const CodePoints basic = with_bits(s.value, 4 * s.left);
      const uint32_t least = std::max(basic.least, 0xd800u), most = std::min(basic.most, 0xdbffu);
      if (least > most) return {basic};
      return {basic, CodePoints{of_pair(least, {0xdc00, 0xdfff}).least, of_pair(most, {0xdc00, 0xdfff}).most}};
    }
    case In::kLowSlash:
    case In::kLowU:
      return {of_pair(s.lead, {0xdc00, 0xdfff})};
    case In::kLowHex:
      return {of_pair(s.lead, with_bits(s.value, 4 * s.left))};
  }
  return {};
}

}  // namespace dsmoe::schema
