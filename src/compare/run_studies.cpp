#include "compare/run_studies.h"

#include <algorithm>

#include "base/error.h"

namespace dsmoe::compare {
namespace {

constexpr const char* kFormat = "dsmoe-comparison-studies 1";
constexpr uint64_t kLongest = 500'000;  // bytes

base::Json task_json(const TaskFigure& task) {
  return {
      {"task", task.task},          {"metric", task.metric}, {"task_hash", task.task_hash},   {"items", task.items},
      {"shots", task.shots},        {"mean", task.mean},     {"stderr", task.standard_error}, {"chance", task.chance},
      {"at_chance", task.at_chance}};
}

TaskFigure task_of(const base::Json& json, const std::string& where) {
  TaskFigure task;
  task.task = base::require_string(json, "task", where);
  task.metric = base::require_string(json, "metric", where);
  task.task_hash = base::require_string(json, "task_hash", where);
  task.items = base::require_int(json, "items", 1, INT64_MAX, where);
  task.shots = base::require_int(json, "shots", 0, INT64_MAX, where);
  task.mean = base::require_number(json, "mean", where);
  task.standard_error = base::require_number(json, "stderr", where);
  task.chance = base::require_number(json, "chance", where);
  const base::Json& at_chance = base::require_member(json, "at_chance", where);
  if (!at_chance.is_boolean()) base::fail_invalid(where, "at_chance is true or false", base::dump_json(at_chance));
  task.at_chance = at_chance.get<bool>();
  return task;
}

const base::Json& list_of(const base::Json& json, const char* key, const std::string& where) {
  const base::Json& list = base::require_member(json, key, where);
  if (!list.is_array()) base::fail_invalid(where, std::string(key) + " must be a list", base::dump_json(list));
  return list;
}

}  // namespace

base::Json to_json(const RunStudies& studies) {
  base::Json json = {{"format", kFormat},
                     {"arm", studies.arm},
                     {"seed", studies.seed},
                     {"ablations", base::Json::array()},
                     {"tasks", base::Json::array()}};
  for (const study::Ablation& ablation : studies.ablations) json["ablations"].push_back(study::to_json(ablation));
  for (const TaskFigure& task : studies.tasks) json["tasks"].push_back(task_json(task));
  return json;
}

RunStudies run_studies_from_json(const base::Json& json, const std::string& where) {
  if (!json.is_object() || json.value("format", base::Json()) != kFormat) {
    base::fail_invalid(where, std::string("not the studies of a comparison's run (format ") + kFormat + ")",
                       json.is_object() && json.contains("format") ? base::dump_json(json["format"]) : "no format");
  }
  RunStudies studies;
  studies.arm = base::require_string(json, "arm", where);
  studies.seed = base::require_int(json, "seed", 0, INT64_MAX, where);
  for (const base::Json& ablation : list_of(json, "ablations", where)) {
    studies.ablations.push_back(study::ablation_from_json(ablation, where));
  }
  for (const base::Json& task : list_of(json, "tasks", where)) studies.tasks.push_back(task_of(task, where));
  return studies;
}

std::vector<RunStudies> read_studies(const base::fs::path& folder) {
  std::vector<base::fs::path> files;
  std::error_code fault;
  for (const auto& entry : base::fs::directory_iterator(folder, fault)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<RunStudies> all;
  for (const base::fs::path& file : files) {
    all.push_back(
        run_studies_from_json(base::parse_json(base::read_file(file, kLongest), file.string()), file.string()));
  }
  return all;
}

}  // namespace dsmoe::compare
