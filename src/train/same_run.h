// Ranks that begin a run together: that they mean the same one, and that all go by the first rank's plan.
#pragma once

#include "comm/group.h"
#include "train/run_plan.h"

namespace dsmoe::train {

/// Throws Error(kInvalid) on every rank, naming the lowest that differs from the first and in what: build,
/// configuration (which key), data.
void require_agreement(const comm::Group& group, const spec::RunConfig& config, const std::string& data_hash,
                       const std::string& build);

/// Throws Error(kInvalid) unless every rank gets as many micro-batches of a step.
void require_whole_shares(const spec::TrainConfig& train, int ranks);

/// The first rank says where the run begins and how long it is, the others ask.
void share_plan(const RunPlan& plan, const comm::Group& group);
RunPlan follow_plan(spec::ResolvedConfig config, RunData data, const comm::Group& group);

}  // namespace dsmoe::train
