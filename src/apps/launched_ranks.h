// A program started several times on this machine, as the ranks of one job: what they say, how they end, and that they
// end together.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace dsmoe::apps {

struct LaunchPlan {
  std::vector<std::string> words;  ///< the program's path and its arguments
  int ranks = 1;
  int restart = 0;       ///< how often the job was started before
  double timeout = 300;  ///< seconds that a rank waits for others
  bool check = false;    ///< ranks compare what they are about to do
};

/// How a job ended: the exit code that counts, or 128 and a signal, and whose it is.
struct JobEnd {
  int code = 0, rank = -1;
};

/// Starts the ranks, each with its share of the processors, in a meeting folder of their own, and returns when all have
/// ended. Lines of their standard error come out on this one's behind "[rank N] "; on a terminal the first rank has it
/// to itself. A rank that fails ends the others within a second. Where `stop` begins to say yes, all are told to stop.
/// Throws Error(kIo) where they cannot be started.
JobEnd run_ranks(const LaunchPlan& plan, const std::function<bool()>& stop);

}  // namespace dsmoe::apps
