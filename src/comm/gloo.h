// Ranks that are processes, over LibTorch's c10d and Gloo: TCP on the loopback address, found through files.
//
// Gloo's own collectives are not used: Debian's build has no reduce_scatter, and its sums have no order to rely on.
// What is used is sending and receiving between two ranks, which also tells which rank a fault is of.
#pragma once

#include <chrono>

#include "base/file.h"
#include "comm/group.h"

namespace dsmoe::comm {

struct Meeting {
  /// An empty one that this world alone uses; a file in it tells each rank the others' ports.
  base::fs::path folder = {};
  int rank = 0, size = 1;
  std::chrono::milliseconds timeout = std::chrono::seconds(300);  ///< of meeting, and of every operation
  bool check = false;                                             ///< as Group has it
};

/// Returns when all ranks of the world are connected. A SIGPIPE that would end the process is ignored from then on.
/// Throws Error(kRankLost) where they do not come in time, kIo where the folder cannot be used.
Group gloo_group(const Meeting& meeting);

}  // namespace dsmoe::comm
