#include "base/rng.h"

#include <cmath>

namespace dsmoe::base {

std::pair<double, double> normal_pair(uint64_t a, uint64_t b) {
  constexpr double kTwoPi = 6.283185307179586476925286766559;
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit_interval(a)));  // 1 - u is never 0
  const double angle = kTwoPi * unit_interval(b);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

Rng::Rng(uint64_t seed) {
  for (uint64_t& word : state_) word = mix64(seed += 0x9e3779b97f4a7c15ULL);
}

uint64_t Rng::next() {
  const auto rotate = [](uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  const uint64_t result = rotate(state_[0] + state_[3], 23) + state_[0];
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate(state_[3], 45);
  return result;
}

uint64_t Rng::below(uint64_t bound) {
  // Values under `reject` would make the low remainders likelier, so they are drawn again.
  const uint64_t reject = (0 - bound) % bound;
  uint64_t bits = next();
  while (bits < reject) bits = next();
  return bits % bound;
}

double Rng::normal() {
  const uint64_t a = next();
  return normal_pair(a, next()).first;  // the second value is dropped: state stays four words
}

}  // namespace dsmoe::base
