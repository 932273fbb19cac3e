// Sums and products that notice when they leave their type. Every size that comes from outside goes through these once,
// at the border; inside, plain arithmetic is safe.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "base/error.h"

namespace dsmoe::base {

/// True and the result in `out`, or false when the product (sum) does not fit.
template <class Integer>
[[nodiscard]] bool multiply(Integer a, Integer b, Integer& out) {
  return !__builtin_mul_overflow(a, b, &out);
}
template <class Integer>
[[nodiscard]] bool add(Integer a, Integer b, Integer& out) {
  return !__builtin_add_overflow(a, b, &out);
}

/// A value in a narrower integer type; throws Error naming `what` when it does not fit.
template <class To, class From>
To narrow(From value, std::string_view part, std::string_view what) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  To out;
  if (__builtin_add_overflow(value, From{0}, &out)) {
    fail_invalid(part, std::string(what) + " is out of range", std::to_string(value));
  }
  return out;
}

}  // namespace dsmoe::base
