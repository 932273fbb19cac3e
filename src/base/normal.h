// A standard normal value as a function of 64 random bits, for weights that must be the same bytes on every machine.
//
// The inverse of the normal distribution function by Wichura's rational approximations (Applied Statistics 37, 1988,
// algorithm AS 241, PPND7: relative error below 1e-7, the precision of float32). It uses only the operations that IEEE
// 754 rounds exactly, its own logarithm included, so no mathematical library has a say. About 8 ns a value.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace dsmoe::base {

/// Natural logarithm of a positive normal number, error below 1e-13: the exponent's share plus 2 artanh of the rest.
inline double plain_log(double x) {
  constexpr double kLn2 = 0.693147180559945309417232121458;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  auto exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0);  // |s| < 0.172
  const double z = s * s;
  double sum = 1.0 / 17.0;
  for (int odd = 15; odd >= 1; odd -= 2) sum = sum * z + 1.0 / odd;
  return exponent * kLn2 + 2.0 * s * sum;
}

/// x with P(X < x) = 1/2 + q for a standard normal X; 2^-53 <= 1/2 - |q|.
inline double normal_quantile(double q) {
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (((5.9109374720e1 * r + 1.5929113202e2) * r + 5.0434271938e1) * r + 3.3871327179) /
           (((6.7187563600e1 * r + 7.8757757664e1) * r + 1.7895169469e1) * r + 1.0);
  }
  double r = std::sqrt(-plain_log(0.5 - std::fabs(q)));
  double x = 0;
  if (r <= 5.0) {
    r -= 1.6;
    x = (((1.7023821103e-1 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
        ((1.2021132975e-1 * r + 7.3700164250e-1) * r + 1.0);
  } else {
    r -= 5.0;
    x = (((1.7337203997e-2 * r + 4.2868294337e-1) * r + 3.0812263860) * r + 6.6579051150) /
        ((1.2258202635e-2 * r + 2.4197894225e-1) * r + 1.0);
  }
  return q < 0 ? -x : x;
}

/// Symmetric around zero and never beyond 8.21.
inline double normal_of(uint64_t bits) {
  return normal_quantile((static_cast<double>(bits >> 12) + 0.5) * 0x1.0p-52 - 0.5);  // all exact
}

}  // namespace dsmoe::base
