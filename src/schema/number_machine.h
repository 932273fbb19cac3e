// A JSON number, a byte at a time. It stays within what a double holds: 18 digits before the point and 18 behind it, an
// exponent of two.
#pragma once

#include <compare>
#include <cstdint>

namespace dsmoe::schema {

struct NumberState {
  enum class In : uint8_t { kStart, kMinus, kZero, kWhole, kPoint, kFraction, kE, kSign, kExponent };
  In in = In::kStart;
  uint8_t digits = 0;  ///< of this part
  auto operator<=>(const NumberState&) const = default;
};

/// Whether it is a number as it stands.
inline bool is_number(const NumberState& s) {
  using In = NumberState::In;
  return s.in == In::kZero || s.in == In::kWhole || s.in == In::kFraction || s.in == In::kExponent;
}

/// Reads a byte of it; false where it may not come. `whole`: without fraction and exponent.
inline bool read_number_byte(NumberState& s, uint8_t byte, bool whole) {
  using In = NumberState::In;
  const bool digit = byte >= '0' && byte <= '9';
  const auto to = [&](In in, uint8_t digits = 0) {
    s = {in, digits};
    return true;
  };
  switch (s.in) {
    case In::kStart:
      if (byte == '-') return to(In::kMinus);
      [[fallthrough]];
    case In::kMinus:
      if (byte == '0') return to(In::kZero);
      return digit && to(In::kWhole, 1);
    case In::kWhole:
      if (digit) return s.digits < 18 && to(In::kWhole, static_cast<uint8_t>(s.digits + 1));
      [[fallthrough]];
    case In::kZero:
      if (whole) return false;
      if (byte == '.') return to(In::kPoint);
      return (byte == 'e' || byte == 'E') && to(In::kE);
    case In::kPoint:
      return digit && to(In::kFraction, 1);
    case In::kFraction:
      if (digit) return s.digits < 18 && to(In::kFraction, static_cast<uint8_t>(s.digits + 1));
      return (byte == 'e' || byte == 'E') && to(In::kE);
    case In::kE:
      if (byte == '+' || byte == '-') return to(In::kSign);
      [[fallthrough]];
    case In::kSign:
      return digit && to(In::kExponent, 1);
    case In::kExponent:
      return digit && s.digits < 2 && to(In::kExponent, 2);
  }
  return false;
}

}  // namespace dsmoe::schema
