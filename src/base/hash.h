// Checksums: XXH3 of bytes in memory or arriving in pieces. For noticing damage and naming data, not for secrets.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dsmoe::base {

uint64_t xxh3_64(std::string_view bytes, uint64_t seed = 0);
/// 128 bits that name some bytes, as a value that can be compared and kept in sets.
struct Hash128 {
  uint64_t high = 0, low = 0;
  auto operator<=>(const Hash128&) const = default;
  std::string hex() const;  ///< 32 lower-case hex digits
};
Hash128 xxh3_128(std::string_view bytes);
/// 32 lower-case hex digits.
std::string xxh3_128_hex(std::string_view bytes);
inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// XXH3-128 of bytes that arrive in pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void update(std::string_view bytes);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dsmoe::base
