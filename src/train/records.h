// A run's records on disk: metrics.jsonl, the one that counts, and TensorBoard events beside it.
//
// Lines are whole or absent. When the disk is full they wait in memory and the run goes on (an alarm says so once);
// sync(), which a checkpoint calls first, throws instead: a checkpoint is never newer than the records before it.
#pragma once

#include <memory>
#include <optional>
#include <set>

#include "base/file.h"
#include "train/record.h"

namespace dsmoe::train {

class RunRecords {
 public:
  /// A run that goes on after `step` (0: begins). What metrics.jsonl holds of later steps, and a torn last line, go:
  /// those steps come again. `tensorboard_every` 0: no events.
  RunRecords(const base::fs::path& folder, int64_t step, int64_t tensorboard_every,
             base::FileSystem& files = base::real_files());

  void add(const StepRecord& record);
  void add(const ValidationRecord& record);
  /// Whether the records of the step the run goes on after hold one of this type. A run that was stopped between a step
  /// and its validation owes the validation, and this is how it knows.
  bool held(const std::string& type) const { return held_.contains(type); }
  /// Anything else: one line.
  void add_line(const base::Json& record);
  void sync();
  /// The alarm of the first line that could not be written; given once.
  std::optional<AlarmRecord> take_alarm();

 private:
  void add_event(const std::string& event);

  int64_t tensorboard_every_;
  std::set<std::string> held_;
  std::optional<base::AppendLog> metrics_;
  std::optional<base::AppendLog> events_;
  int64_t step_;
  bool waiting_ = false, told_ = false;
};

}  // namespace dsmoe::train
