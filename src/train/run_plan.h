// Before the first step: which checkpoint, how many steps. Every reason to refuse a run comes up here or in run_data.h,
// before anything is computed.
#pragma once

#include <optional>

#include "train/checkpoint.h"
#include "train/loop.h"
#include "train/run_data.h"
#include "train/run_folder.h"

namespace dsmoe::train {

struct RunPlan {
  spec::ResolvedConfig config;  ///< with the steps fixed
  RunData data;
  std::optional<CheckpointInfo> checkpoint;  ///< to resume from
  BaseModel beside = {};                     ///< of adapters

  int64_t step() const { return checkpoint ? checkpoint->state.step : 0; }
};

/// Takes over what a checkpoint says of the vocabulary.
void take_from_checkpoint(RunPlan& plan);

/// Also writes OUT/run.toml and sets aside checkpoints that a resumed run goes back behind.
RunPlan plan_run(spec::ResolvedConfig config, RunData data, RunFolder& folder, const RunOptions& options,
                 RunListener& listener);

}  // namespace dsmoe::train
