// Reading what a run left behind.
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "study/report.h"

namespace dsmoe::study {
namespace {

namespace fs = std::filesystem;
using base::Json;

double number_or_nan(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

void read_metrics(const fs::path& file, RunReport& run) {
  std::istringstream lines(base::read_file(file));
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (lines.eof()) break;  // a last line without its end is one that a power loss tore
    const std::string where = file.string() + ":" + std::to_string(number);
    const Json record = base::parse_json(line, where);
    if (!record.is_object()) base::fail_invalid(where, "a record must be an object", base::in_quotes(line));
    // validations, checkpoints and alarms have records of their own
    if (record.contains("type") && base::require_string(record, "type", where) != "step") continue;
    if (!record.contains("loss")) continue;
    run.step.push_back(number_or_nan(record, "step"));
    run.tokens.push_back(number_or_nan(record, "tokens"));
    run.loss.push_back(number_or_nan(record, "loss"));
    run.max_vio.push_back(number_or_nan(record, "max_vio"));
    run.tokens_per_s.push_back(number_or_nan(record, "tokens_per_s"));
  }
}

Json read_plan(const std::string& where) {
  Json plan = base::parse_json(base::read_file(where), where);
  if (!plan.is_object()) base::fail_invalid(where, "a plan must be an object");
  for (const char* key : {"params_total", "params_activated"}) {
    if (plan.contains(key)) base::require_number(plan, key, where);
  }
  return plan;
}

RunReport::Domain domain_of(const std::string& name, const Json& json, const std::string& where) {
  return {name, base::require_number(json, "bits_per_byte", where), base::require_number(json, "nats_per_token", where),
          base::require_int(json, "tokens", 0, INT64_MAX, where),
          base::require_int(json, "bytes", 0, INT64_MAX, where)};
}

void read_evaluation(const fs::path& file, RunReport& run) {
  const Json json = base::parse_json(base::read_file(file), file.string());
  run.evaluation.push_back(domain_of("all", json, file.string()));
  for (const char* key : {"model", "data", "split", "data_hash"}) {
    if (json.contains(key)) run.provenance["evaluation"][key] = json[key];
  }
  const auto domains = json.find("domains");
  if (domains == json.end()) return;
  if (!domains->is_object()) base::fail_invalid(file.string(), "domains must be an object");
  for (const auto& [name, value] : domains->items()) run.evaluation.push_back(domain_of(name, value, file.string()));
}

}  // namespace

std::vector<fs::path> run_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : {"metrics.jsonl", "plan.json", "run.toml", "eval.json", "routing.json", "samples"}) {
    files.push_back(folder / name);
  }
  return files;
}

RunReport read_run(const fs::path& folder) {
  RunReport run;
  run.name = folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
  if (!fs::exists(folder / "metrics.jsonl")) {
    base::fail(base::ErrorKind::kIo, "report", "not a run's folder, it has no metrics.jsonl", folder.string(),
               "name the output folder of `dsmoe train`");
  }
  read_metrics(folder / "metrics.jsonl", run);
  if (fs::exists(folder / "plan.json")) run.plan = read_plan((folder / "plan.json").string());
  if (fs::exists(folder / "run.toml")) run.config = base::read_file(folder / "run.toml", 1 << 20);
  if (fs::exists(folder / "eval.json")) read_evaluation(folder / "eval.json", run);
  if (fs::exists(folder / "routing.json")) {
    const std::string where = (folder / "routing.json").string();
    const Json json = base::parse_json(base::read_file(where), where);
    run.routing = routing_counts_from_json(json, where);
    run.provenance["routing"] = json.value("provenance", Json::object());
  }
  if (fs::is_directory(folder / "samples")) {
    for (const auto& entry : fs::directory_iterator(folder / "samples")) {
      if (entry.path().extension() != ".txt") continue;
      run.samples.push_back({entry.path().stem().string(), base::read_file(entry.path(), 1 << 20)});
    }
    std::sort(run.samples.begin(), run.samples.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  return run;
}

}  // namespace dsmoe::study
