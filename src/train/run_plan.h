// Before the first step: which data, which checkpoint, how many steps. Every reason to refuse a run comes up here,
// before anything is computed.
#pragma once

#include <memory>
#include <optional>

#include "corpus/dataset.h"
#include "train/checkpoint.h"
#include "train/loop.h"
#include "train/run_folder.h"

namespace dsmoe::train {

struct RunData {
  corpus::TokenDataset train;
  std::optional<corpus::TokenDataset> valid;  ///< absent when the split is empty
};

struct RunPlan {
  spec::ResolvedConfig config;  ///< with the steps fixed and the document's borders taken from the data
  std::unique_ptr<RunData> data;
  std::optional<CheckpointInfo> checkpoint;  ///< to resume from

  int64_t step() const { return checkpoint ? checkpoint->state.step : 0; }
};

/// Also writes OUT/run.toml and sets aside checkpoints that a resumed run goes back behind.
RunPlan plan_run(spec::ResolvedConfig config, RunFolder& folder, const RunOptions& options, RunListener& listener);

}  // namespace dsmoe::train
