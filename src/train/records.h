// A run's records on disk: metrics.jsonl, the one that counts, and TensorBoard events beside it.
//
// Lines are whole or absent. When the disk is full they wait in memory and the run goes on (an alarm says so once);
// sync(), which a checkpoint calls first, throws instead: a checkpoint is never newer than the records before it.
#pragma once

#include <memory>
#include <optional>

#include "base/file.h"
#include "train/record.h"

namespace dsmoe::train {

/// Where a run begins or goes on.
struct RunPosition {
  int64_t step = 0;             ///< steps done
  bool validation_due = false;  ///< the validation of that step is still to come
};

class RunRecords {
 public:
  /// What metrics.jsonl holds of later steps, and a torn last line, go: those steps come again. `tensorboard_every` 0:
  /// no events.
  RunRecords(const base::fs::path& folder, const RunPosition& position, int64_t tensorboard_every,
             base::FileSystem& files = base::real_files());

  void add(const StepRecord& record);
  void add(const ValidationRecord& record);
  /// Anything else: one line.
  void add_line(const base::Json& record);
  void sync();
  /// The alarm of the first line that could not be written; given once.
  std::optional<AlarmRecord> take_alarm();

 private:
  void add_event(const std::string& event);

  int64_t tensorboard_every_;
  std::optional<base::AppendLog> metrics_;
  std::optional<base::AppendLog> events_;
  int64_t step_;
  bool waiting_ = false, told_ = false;
};

}  // namespace dsmoe::train
