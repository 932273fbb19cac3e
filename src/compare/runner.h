// Carries a comparison out, run by run, so that it may be interrupted at any moment.
//
// The folder of a comparison:
//   plan.toml            the plan, as it was when the comparison began; another plan is refused
//   runs/NAME/           what dsmoe train leaves; its checkpoints go once the run has its result
//   results/NAME.json    one for each finished run (result.h)
//   studies/NAME.json    what studies and tasks found of its model (run_studies.h), where the plan asks for any
//   logs/NAME.txt        what the trainer printed
//   probes/              runs that another build trained to the same bits (build.h)
//   paused               while this file is there nothing runs
//
// All that is remembered is in these files, and each appears whole. A run that was cut goes on from its newest
// checkpoint to the same bits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/process.h"
#include "compare/budget.h"
#include "compare/result.h"
#include "compare/run_studies.h"

namespace dsmoe::compare {

struct RunnerOptions {
  base::fs::path folder;
  std::string data;        ///< folder of dsmoe data build
  base::fs::path trainer;  ///< the dsmoe-train program
  Build build;             ///< of this program and its kernels
  std::string data_hash;
  int jobs = 1;     ///< runs side by side
  int threads = 1;  ///< of each run
  int niceness = 10;
  double look_every = 0.5;   ///< seconds between looks at the runs
  bool keep_models = false;  ///< keep each run's last checkpoint, for studies
  /// Scores the finished model in a folder: fills score and domains.
  std::function<void(const base::fs::path& model, RunResult&)> score;
  /// Studies the model in a folder as the plan asks: fills ablations and tasks, or leaves both empty. A stop may leave
  /// either function by Error(kStopped); what it began is begun anew by the next call of run_comparison.
  std::function<void(const base::fs::path& model, const Run&, RunStudies&)> study;
  std::function<bool()> stop;  ///< asked often; true: stop the runs, save, and leave
};

/// What happens, for a person to see. Called from the thread of run().
class RunnerListener {
 public:
  virtual ~RunnerListener() = default;
  /// Now and then: FLOPs done and FLOPs of all runs; `going`: the names of those that train now.
  virtual void on_progress(double done, double all, const std::vector<std::string>& going) = 0;
  virtual void on_finished(const Run& run, const RunResult& result) = 0;
  virtual void on_notice(const std::string& text) = 0;
};

enum class RunnerEnd { kDone, kStopped };

/// Runs what has no result yet. Throws Error(kIo) where the folder cannot be written to, or is no comparison's and
/// holds what one would write over; Error(kInvalid) where it holds a comparison of another plan, build or data or
/// another process runs it; Error(kFailure) with the log's last line where a run fails, after the others were
/// stopped.
RunnerEnd run_comparison(const Plan& plan, const std::string& plan_text, const std::vector<Run>& runs,
                         const RunnerOptions& options, RunnerListener& listener);

/// Asks a comparison to pause, or to go on. Throws where the folder holds none.
void set_paused(const base::fs::path& folder, bool paused);

base::fs::path plan_file(const base::fs::path& folder);
base::fs::path results_folder(const base::fs::path& folder);
base::fs::path studies_folder(const base::fs::path& folder);
base::fs::path result_file(const base::fs::path& folder, const Run& run);
base::fs::path model_folder(const base::fs::path& folder, const Run& run);

}  // namespace dsmoe::compare
