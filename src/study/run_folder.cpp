// Reading what a run left behind.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "corpus/logged_objects.h"
#include "study/ablation_words.h"
#include "study/run_report.h"

namespace dsmoe::study {
namespace {

namespace fs = std::filesystem;
using base::Json;

double number_or_nan(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

RunReport::Domain domain_of(const std::string& name, const Json& json, const std::string& where) {
  return {name, base::require_number(json, "bits_per_byte", where), base::require_number(json, "nats_per_token", where),
          base::require_int(json, "tokens", 0, INT64_MAX, where),
          base::require_int(json, "bytes", 0, INT64_MAX, where)};
}

// Of all the text, then of each of its domains: what dsmoe eval perplexity prints, and a validation's record holds.
RunReport::Scores scores_of(const Json& json, const std::string& where) {
  RunReport::Scores scores = {domain_of("all", json, where)};
  const auto domains = json.find("domains");
  if (domains == json.end()) return scores;
  if (!domains->is_object()) base::fail_invalid(where, "domains must be an object");
  for (const auto& [name, value] : domains->items()) scores.push_back(domain_of(name, value, where));
  return scores;
}

// What is not a step: validations, samples, alarms, and the run's beginning. They stand behind the step they are of.
void read_event(const Json& record, const std::string& where, RunReport& run) {
  const std::string type = base::require_string(record, "type", where);
  const double step = number_or_nan(record, "step");
  if (type == "validation" && record.contains("nats_per_token")) {
    // What a run begins with has seen nothing yet.
    double tokens = step == 0 ? 0 : std::nan("");
    if (!run.step.empty() && run.step.back() == step) tokens = run.tokens.back();
    run.validations.push_back({step, tokens, scores_of(record, where)});
  } else if (type == "sample") {
    run.written.push_back({step, base::require_string(record, "text", where)});
  } else if (type == "alarm") {
    run.alarms.push_back({step, base::require_string(record, "text", where)});
  } else if (type == "start" && record.contains("parameters")) {
    run.parameters = base::require_int(record, "parameters", 0, INT64_MAX, where);
  }
}

void read_metrics(const fs::path& file, RunReport& run) {
  corpus::for_each_logged_object(file, [&](const Json& record, const std::string& where) {
    if (record.contains("type") && base::require_string(record, "type", where) != "step") {
      return read_event(record, where, run);
    }
    if (!record.contains("loss")) return;
    run.step.push_back(number_or_nan(record, "step"));
    run.tokens.push_back(number_or_nan(record, "tokens"));
    run.loss.push_back(number_or_nan(record, "loss"));
    run.max_vio.push_back(number_or_nan(record, "max_vio"));
    run.tokens_per_s.push_back(number_or_nan(record, "tokens_per_s"));
  });
}

Json read_plan(const std::string& where) {
  Json plan = base::parse_json(base::read_file(where), where);
  if (!plan.is_object()) base::fail_invalid(where, "a plan must be an object");
  for (const char* key : {"params_total", "params_activated"}) {
    if (plan.contains(key)) base::require_number(plan, key, where);
  }
  return plan;
}

void read_evaluation(const fs::path& file, RunReport& run) {
  const Json json = base::parse_json(base::read_file(file), file.string());
  run.evaluation = scores_of(json, file.string());
  for (const char* key : {"model", "data", "split", "data_hash"}) {
    if (json.contains(key)) run.provenance["evaluation"][key] = json[key];
  }
}

void read_routing(const fs::path& file, RunReport& run) {
  const Json json = base::parse_json(base::read_file(file), file.string());
  run.routing = routing_counts_from_json(json, file.string());
  run.findings = routing_findings_from_json(json, run.routing->n_routed_experts, run.routing->domains, file.string());
  run.provenance["routing"] = json.value("provenance", Json::object());
}

void read_text_routing(const fs::path& file, RunReport& run) {
  const Json json = base::parse_json(base::read_file(file), file.string());
  run.text = text_record_from_json(json, file.string());
  run.provenance["routing_text"] = json.value("provenance", Json::object());
}

void read_saturation(const fs::path& file, RunReport& run) {
  const Json json = base::parse_json(base::read_file(file), file.string());
  run.saturation = router_saturation_from_json(json, file.string());
  run.provenance["routing_checkpoints"] = json.value("provenance", Json::object());
}

void read_diff(const fs::path& file, RunReport& run) {
  const Json json = base::parse_json(base::read_file(file), file.string());
  run.diff = model_diff_from_json(json, file.string());
  run.provenance["diff"] = json.value("provenance", Json::object());
}

void read_settings(const fs::path& file, RunReport& run) {
  run.config = base::read_file(file, 1 << 20);
  const Json sections = base::parse_toml(run.config, file.string());
  for (const auto& [section, keys] : sections.items()) {
    if (!keys.is_object()) continue;
    for (const auto& [key, value] : keys.items()) {
      run.settings[section + "." + key] = value.is_string() ? value.get<std::string>() : base::dump_json(value);
    }
  }
}

// NAME.prompt beside NAME.txt is what the text was asked to go on from; a text that repeats it is shown without.
RunReport::Sample read_sample(const fs::path& file) {
  RunReport::Sample sample{file.stem().string(), "", base::read_file(file, 1 << 20)};
  fs::path prompt = file;
  prompt.replace_extension(".prompt");
  if (!fs::exists(prompt)) return sample;
  sample.prompt = base::read_file(prompt, 1 << 20);
  while (sample.prompt.ends_with('\n')) sample.prompt.pop_back();
  if (sample.text.starts_with(sample.prompt)) sample.text.erase(0, sample.prompt.size());
  return sample;
}

void read_samples(const fs::path& folder, RunReport& run) {
  if (!fs::is_directory(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") run.samples.push_back(read_sample(entry.path()));
  }
  const auto rank = [](const RunReport::Sample& s) { return std::pair(!s.name.starts_with("prose"), s.name); };
  std::sort(run.samples.begin(), run.samples.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

fs::path ablation_file(const fs::path& folder, AblationKind kind) {
  return folder / (std::string(ablation_name(kind)) + ".json");
}

void read_ablations(const fs::path& folder, RunReport& run) {
  for (const AblationWords& words : ablation_words()) {
    const fs::path file = ablation_file(folder, words.kind);
    if (!fs::exists(file)) continue;
    const Json json = base::parse_json(base::read_file(file), file.string());
    const Ablation ablation = ablation_from_json(json, file.string());
    if (ablation.kind != words.kind) {
      base::fail_invalid(file.string(), "the file is named for another study than it holds",
                         std::string(ablation_name(ablation.kind)));
    }
    run.ablations.emplace(words.kind, ablation);
    run.provenance[std::string(ablation_name(words.kind))] = json.value("provenance", Json::object());
  }
}

// The last `parts` parts of a path, with "/" between them.
std::string end_of(const fs::path& path, size_t parts) {
  std::vector<std::string> names;
  for (const auto& part : path) {
    if (part.has_filename() && part != "/") names.push_back(part.string());
  }
  std::string out;
  for (size_t i = names.size() - std::min(parts, names.size()); i < names.size(); ++i) {
    out += (out.empty() ? "" : "/") + names[i];
  }
  return out;
}

}  // namespace

std::vector<fs::path> run_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : {"metrics.jsonl", "plan.json", "run.toml", "eval.json", "routing.json", "routing_text.json",
                           "routing_checkpoints.json", "diff.json", "samples"}) {
    files.push_back(folder / name);
  }
  for (const AblationWords& words : ablation_words()) files.push_back(ablation_file(folder, words.kind));
  return files;
}

RunReport read_run(const fs::path& folder) {
  RunReport run;
  run.name = end_of(fs::absolute(folder).lexically_normal(), 1);
  if (!fs::exists(folder / "metrics.jsonl")) {
    base::fail(base::ErrorKind::kIo, "report", "not a run's folder, it has no metrics.jsonl", folder.string(),
               "name the output folder of `dsmoe train`");
  }
  read_metrics(folder / "metrics.jsonl", run);
  const auto there = [&](const std::string& name) { return fs::exists(folder / name); };
  if (there("plan.json")) run.plan = read_plan((folder / "plan.json").string());
  if (there("run.toml")) read_settings(folder / "run.toml", run);
  if (there("eval.json")) read_evaluation(folder / "eval.json", run);
  if (there("routing.json")) read_routing(folder / "routing.json", run);
  if (there("routing_text.json")) read_text_routing(folder / "routing_text.json", run);
  if (there("routing_checkpoints.json")) read_saturation(folder / "routing_checkpoints.json", run);
  if (there("diff.json")) read_diff(folder / "diff.json", run);
  read_ablations(folder, run);
  read_samples(folder / "samples", run);
  return run;
}

std::vector<RunReport> read_runs(const std::vector<fs::path>& folders) {
  std::vector<RunReport> runs;
  for (const fs::path& folder : folders) runs.push_back(read_run(folder));
  std::vector<fs::path> paths, places;
  for (const fs::path& folder : folders) {
    paths.push_back(fs::absolute(folder).lexically_normal());
    places.push_back(fs::canonical(folder));
    if (std::count(places.begin(), places.end(), places.back()) > 1) {
      base::fail(base::ErrorKind::kUsage, "report", "a run is named twice", folder.string(), "name each run once");
    }
  }
  for (size_t r = 0; r < runs.size(); ++r) {
    const auto others = [&](size_t parts) {
      return std::count_if(paths.begin(), paths.end(),
                           [&](const fs::path& path) { return end_of(path, parts) == end_of(paths[r], parts); });
    };
    size_t parts = 1;
    while (others(parts) > 1) ++parts;
    runs[r].name = end_of(paths[r], parts);
  }
  return runs;
}

}  // namespace dsmoe::study
