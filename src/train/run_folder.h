// A run's output folder: who may write in it, and which checkpoints it holds.
//
//   OUT/run.toml            the resolved configuration, with where each value came from
//   OUT/data.json           what the examples of fine-tuning were, and how many
//   OUT/metrics.jsonl       records (record.h); OUT/tensorboard/ beside it
//   OUT/step-00001000/      checkpoints (checkpoint.h); they appear whole or not at all
//   OUT/report.html         the run's page, made anew from the folder whenever the program ends
//   OUT/latest              a link to the newest, for people; resuming does not trust it
//   OUT/.lock               held by the process that trains here; names it
//   OUT/aside-step-...      a checkpoint that a resumed run went back behind; never looked at again
//
// A checkpoint is validated by its manifest alone here: every file present, of its size and checksum.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/parallel.h"

namespace dsmoe::train {

/// The name of the run's page in its folder; whoever runs the training writes it.
inline constexpr const char* kRunPage = "report.html";

/// The step that a checkpoint's folder is named for, or -1 where the name is none that a run gives: step-00001000.
int64_t step_of_name(const base::fs::path& path);

struct CheckpointPlace {
  int64_t step = 0;
  base::fs::path path;
};

/// What looking for a checkpoint found.
struct CheckpointSearch {
  std::optional<CheckpointPlace> newest;  ///< the newest undamaged one
  std::vector<std::string> damaged;       ///< newer ones that were passed over: a line each with the reason
};

class RunFolder {
 public:
  /// Makes the folder if need be and locks it; throws Error(kIo) when another process is training there, or when files
  /// lie there that a run would write over and that no run made. Removes what the process that last trained here left
  /// half-made, which its name in the lock tells from anybody else's files.
  RunFolder(const base::fs::path& path, base::FileSystem& files = base::real_files());
  /// Where no run came about, the lock and the folders go again if they were made here.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const base::fs::path& path() const { return path_; }
  base::fs::path checkpoint_path(int64_t step) const;
  /// Throws Error(kInvalid) naming a folder "step-..." that holds a checkpoint under a name that a run does not give:
  /// resuming would not find it, and begin without it.
  void require_checkpoint_names() const;
  /// Ascending, not validated.
  std::vector<CheckpointPlace> checkpoints() const;
  /// True when a run has left records or checkpoints here.
  bool in_use() const;
  /// Scans backwards and validates until one is whole. Throws Error(kNoCheckpoint) when there are some and all are
  /// damaged.
  CheckpointSearch find_newest(const base::ParallelFor& parallel = base::serial_for) const;

  /// Renames checkpoints after `step`: a run that goes back to `step` makes its own.
  std::vector<std::string> set_aside_after(int64_t step);
  /// Called when the checkpoint of `step` is durable: points `latest` at it, then removes the oldest so that `keep`
  /// stay. Never removes that of `step` or a newer one.
  void publish(int64_t step, int64_t keep);

 private:
  void take_lock();
  void require_free_names() const;
  void remove_leftovers();
  void remove_lock();
  base::fs::path path_;
  base::FileSystem& files_;
  int lock_ = -1;
  std::vector<base::fs::path> made_folders_;  // the lowest first
  bool made_lock_ = false;
};

}  // namespace dsmoe::train
