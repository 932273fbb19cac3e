// Counting along n -> (a n + b) mod m: a sequence that visits any stretch of residues as evenly as whole numbers can
// when a/m is near the golden ratio, and whose visits can be counted without walking it.
#pragma once

#include <cstdint>
#include <numeric>

namespace dsmoe::corpus {

__extension__ typedef unsigned __int128 Wide;

/// Sum of floor((a i + b) / m) for i = 0..n-1, modulo 2^128. Euclid's algorithm on (m, a); m >= 1, a n + b < 2^127.
inline Wide floor_sum(Wide n, Wide m, Wide a, Wide b) {
  Wide sum = 0;
  for (;;) {
    sum += n * (n - 1) / 2 * (a / m) + n * (b / m);
    a %= m;
    b %= m;
    const Wide top = a * n + b;
    if (top < m) return sum;
    n = top / m;
    b = top % m;
    const Wide swapped = m;
    m = a;
    a = swapped;
  }
}

struct Lattice {
  uint64_t modulus, multiplier, offset;  ///< m below 2^62, a and b below m

  /// A multiplier near m / golden ratio without common divisor, so that m steps visit every residue once.
  static Lattice golden(uint64_t modulus, uint64_t offset) {
    auto multiplier = static_cast<uint64_t>((Wide{modulus} * 0x9e3779b97f4a7c15ULL) >> 64);
    while (std::gcd(multiplier, modulus) != 1) ++multiplier;
    return {modulus, multiplier % modulus, offset % modulus};
  }

  uint64_t residue(uint64_t n) const { return static_cast<uint64_t>((Wide{multiplier} * n + offset) % modulus); }
  /// How many of the residues 0..n-1 of the walk lie in [begin, end).
  uint64_t visits(uint64_t n, uint64_t begin, uint64_t end) const {
    // floor((a i + b + m - t) / m) exceeds floor((a i + b) / m) by one just where the residue is at least t
    const auto shifted = [&](uint64_t t) { return floor_sum(n, modulus, multiplier, Wide{offset} + modulus - t); };
    return static_cast<uint64_t>(shifted(begin) - shifted(end));
  }
};

}  // namespace dsmoe::corpus
