// May a comparison that one build began be finished by another? Only where a run that the first has finished comes out
// the same to the last bit when the second trains and scores it anew: the probe run.
//
// probes/RUN.json of a comparison's folder is kept for each that did. It is one run's word: arms that compute by other
// kernels than it does are not tried, so a probe should be a run of the arm with the most parts.
#pragma once

#include <string>
#include <vector>

#include "compare/runner.h"

namespace dsmoe::compare {

/// Trains the run called `name`, which has a result of another build, once more in probes/, and keeps a probe where
/// curves and scores are the same. May be stopped and goes on like any comparison. Throws Error(kInvalid) where the run
/// is unknown, has no result, is of this build, or comes out otherwise; nothing is kept then.
RunnerEnd probe_build(const Plan& plan, const std::string& plan_text, const std::vector<Run>& runs,
                      const std::string& name, const RunnerOptions& options, RunnerListener& listener);

}  // namespace dsmoe::compare
