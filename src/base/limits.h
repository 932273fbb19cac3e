// What this process may use of its machine: a container, a batch system or taskset may leave it less than all.
//
// Control groups of both versions are read as mountinfo and the process's own cgroup file place them, each from the
// process's group up to the outermost one in sight; the smallest limit counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace dsmoe::base {

/// Absent where no group sets a limit.
struct GroupLimits {
  std::optional<double> processors;     ///< processor seconds a second
  std::optional<uint64_t> memory;       ///< bytes
  std::optional<uint64_t> memory_left;  ///< of them not in use; pages of files count as free, since they can be dropped
};

/// `root` stands for the machine's own "/": below it proc/self/cgroup, proc/self/mountinfo and the mounts are looked
/// for. What cannot be read sets no limit.
GroupLimits group_limits(const std::filesystem::path& root = "/");

/// Processors that this process may run on, by its affinity, and at most its groups' quota rounded up. At least 1.
int usable_processors(const std::filesystem::path& root = "/");

}  // namespace dsmoe::base
