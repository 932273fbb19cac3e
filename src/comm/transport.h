// What carries bytes between the ranks of a world: one operation, from which group.h makes all others.
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
  /// Among `members`, ranks in ascending order of which this is one: gives out[i] to members[i] and fills in[i] with
  /// what that rank gives this one, for every i, this rank's own included. Each of them calls it, in the same order as
  /// all that they exchange together; out[i] here is as long as what members[i] takes. No bytes at all is a message
  /// like any other. Throws LostRank where a rank has gone or lets the group's timeout pass.
  virtual void exchange(const std::vector<int>& members, const std::vector<ConstBytes>& out,
                        const std::vector<Bytes>& in) = 0;
};

/// For messages about a timeout: "1.5 s".
std::string in_seconds(std::chrono::milliseconds time);

}  // namespace dsmoe::comm
