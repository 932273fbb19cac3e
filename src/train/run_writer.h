// What a run leaves in its folder and says to its listener. One process of a run has it: the first rank.
#pragma once

#include <optional>

#include "tokenizer/tokenizer_json.h"
#include "train/loop.h"
#include "train/records.h"
#include "train/router_watch.h"
#include "train/run_folder.h"
#include "train/run_plan.h"
#include "train/trainer.h"

namespace dsmoe::train {

class RunWriter {
 public:
  /// All must outlive this.
  RunWriter(const RunPlan& plan, RunFolder& folder, const RunOptions& options, RunListener& listener);

  /// RunRecords::held.
  bool held(const std::string& type) const { return records_.held(type); }

  void start(const Trainer& trainer);
  /// The record of a step, and the alarms that its loads raise.
  void add(const StepRecord& record);
  void add(const ValidationRecord& record);
  void sample(const Trainer& trainer);
  /// Writes the checkpoint of the steps done, durably, and points at it. The other ranks call give_to_checkpoint.
  void save(const Trainer& trainer);
  void sync() { records_.sync(); }
  /// The newest checkpoint, or "none yet".
  std::string last_checkpoint() const { return saved_as_.empty() ? "none yet" : saved_as_.string(); }

 private:
  void raise(const AlarmRecord& alarm);

  const RunPlan& plan_;
  RunFolder& folder_;
  const RunOptions& options_;
  RunListener& listener_;
  RunRecords records_;
  RouterWatch watch_;
  std::optional<tokenizer::Tokenizer> tokenizer_;
  base::fs::path saved_as_;
};

}  // namespace dsmoe::train
