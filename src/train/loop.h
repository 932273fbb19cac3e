// A whole run: find where it stands, then step, record, validate, save, until the steps are done or somebody says stop.
//
// Nothing here prints or reads signals: what happens goes to a RunListener, and the wish to stop comes as a flag.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/parallel.h"
#include "comm/group.h"
#include "spec/settings.h"
#include "train/record.h"
#include "train/run_data.h"

namespace dsmoe::train {

enum class Resume {
  kNever,  ///< begin; refuse an output folder that holds a run
  kAuto,   ///< from the newest undamaged checkpoint, or begin where there is none
  kPath,   ///< from the one named
};

struct RunOptions {
  /// The ranks that train together: each calls run_training with the same configuration and data, which is compared.
  comm::Group group = {};
  std::string build = {};  ///< what names the program; the same on every rank
  Resume resume = Resume::kNever;
  base::fs::path resume_path;  ///< for kPath
  base::fs::path init_path;    ///< begin with the weights of this model folder; empty: with random ones
  int threads = 1;
  base::ParallelFor parallel_for = base::serial_for;
  /// Asked between pieces of work: true means finish the step at hand, save, return kStopped.
  std::function<bool()> stop = [] { return false; };
  base::FileSystem* files = &base::real_files();  ///< the first rank alone writes
  uint64_t memory = 0;      ///< bytes that the run may take; 0: what is available, UINT64_MAX: not compared
  double step_seconds = 0;  ///< what a step takes, for train.minutes; 0: measured
};

/// Hears what happens, in order, on the thread that trains. That of a rank other than the first hears nothing.
class RunListener {
 public:
  virtual ~RunListener() = default;
  virtual void on_notice(const std::string&) {}  ///< one sentence
  virtual void on_start(const RunStart&) {}
  virtual void on_step(const StepRecord&) {}
  virtual void on_validation(const ValidationRecord&) {}
  virtual void on_checkpoint(const CheckpointRecord&) {}
  virtual void on_alarm(const AlarmRecord&) {}
  virtual void on_sample(const SampleRecord&) {}
};

enum class RunEnd { kDone, kStopped };

/// Trains on the corpus at data.path. With train.minutes the number of steps is measured and fixed before the first
/// one. Throws Error: kInvalid (configuration, memory, data, another run's checkpoint), kIo (a full disk: the last
/// checkpoint stays whole), kNoCheckpoint, kNonFinite (naming the last good checkpoint), comm::kRankLost (naming the
/// rank and the step). Every rank returns the same, and stops when one of them is asked to.
RunEnd run_training(spec::ResolvedConfig config, const RunOptions& options, RunListener& listener);
/// The same on other data; `config` fits it.
RunEnd run_training(spec::ResolvedConfig config, RunData data, const RunOptions& options, RunListener& listener);

}  // namespace dsmoe::train
