// What carries bytes between the ranks of a group: one operation, from which group.h makes all others.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace dsmoe::comm {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

/// Thrown by a transport: what happened on the way to or from `rank`. group.h says in which operation.
struct LostRank {
  int rank;
  std::string what;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Gives out[r] to rank r and fills in[r] with what rank r gives this one, for every r, this rank's own included.
  /// Every rank calls it, in the same order; out[r] here is as long as in[rank()] there. No bytes at all is a message
  /// like any other. Throws LostRank where a rank has gone or lets the group's timeout pass.
  virtual void exchange(const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) = 0;
};

/// For messages about a timeout: "1.5 s".
std::string in_seconds(std::chrono::milliseconds time);

}  // namespace dsmoe::comm
