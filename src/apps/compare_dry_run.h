// dsmoe compare --dry-run: what a plan would run, and how long that takes on this machine.
#pragma once

#include "base/file.h"
#include "compare/budget.h"

namespace dsmoe::apps {

struct DryRunOptions {
  base::fs::path folder;   ///< of a comparison that may have begun; empty: of none
  base::fs::path trainer;  ///< the dsmoe-train program
  int threads = 0;         ///< of each run; 0: as many as there are cores
};

/// Prints a row for each arm and the time of all runs. Arms with finished runs take as long as those took; the others
/// are measured, a few training steps each, by dsmoe-train bench. Nothing is left behind.
void say_what_would_run(const compare::Plan& plan, const std::vector<compare::Run>& runs, const DryRunOptions& options);

}  // namespace dsmoe::apps
