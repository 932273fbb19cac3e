// Random numbers that are the same on every machine and compiler.
//
// `Rng` is a stream (xoshiro256++ seeded through SplitMix64) with state that can be saved and restored. `random_bits`
// is a function: (seed, stream, index) to 64 bits, for values that must not depend on the order in which they are
// drawn, such as a tensor's initial weights. The standard library's distributions differ between implementations, so
// none is used.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace dsmoe::base {

/// SplitMix64's finaliser: a bijection of 64 bits in which every input bit touches every output bit.
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// 64 bits as a pure function of a seed, a stream and an index.
constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t key =
      mix64(seed + 0x9e3779b97f4a7c15ULL) ^ mix64(stream * 0xd1342543de82ef95ULL + 0x632be59bd9b4e019ULL);
  return mix64(mix64(key + index * 0x9e3779b97f4a7c15ULL) + 0x9e3779b97f4a7c15ULL);
}

/// The upper 53 bits as a double in [0, 1).
constexpr double unit_interval(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

/// Two independent standard normal values from two words (Box-Muller).
std::pair<double, double> normal_pair(uint64_t a, uint64_t b);

class Rng {
 public:
  using State = std::array<uint64_t, 4>;
  explicit Rng(uint64_t seed = 0);
  uint64_t next();
  double uniform() { return unit_interval(next()); }
  /// Uniform in [0, bound), without bias; bound > 0.
  uint64_t below(uint64_t bound);
  double normal();
  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  State state_;
};

}  // namespace dsmoe::base
