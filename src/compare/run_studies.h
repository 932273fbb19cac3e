// What studies and tasks found of one finished run's model, as one JSON file beside its result.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "study/ablation.h"

namespace dsmoe::compare {

/// A task's own metric.
struct TaskFigure {
  std::string task, metric;
  std::string task_hash;  ///< of the task's files
  int64_t items = 0, shots = 0;
  double mean = 0, standard_error = 0;
  double chance = 0;       ///< what guessing gets; 0 where the metric knows none
  bool at_chance = false;  ///< the 95 % interval includes chance
};

struct RunStudies {
  std::string arm;
  int64_t seed = 0;
  std::vector<study::Ablation> ablations;
  std::vector<TaskFigure> tasks;

  bool empty() const { return ablations.empty() && tasks.empty(); }
};

base::Json to_json(const RunStudies& studies);
/// Throws Error(kInvalid) naming `where`.
RunStudies run_studies_from_json(const base::Json& json, const std::string& where);
/// All of a folder, by file name; none where there is no folder.
std::vector<RunStudies> read_studies(const base::fs::path& folder);

}  // namespace dsmoe::compare
