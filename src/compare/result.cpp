#include "compare/result.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "charts/lines.h"
#include "corpus/logged_objects.h"

namespace dsmoe::compare {
namespace {

using base::fail_invalid;
using base::Json;

constexpr const char* kFormat = "dsmoe-comparison-run 1";
constexpr uint64_t kLongest = 1 << 20;
constexpr size_t kPoints = 200;  // of a curve

// Six digits are plenty for a figure, and keep a file small.
Json rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", value);
    list.push_back(std::strtod(text, nullptr));
  }
  return list;
}

std::vector<double> numbers(const Json& object, const char* key, const std::string& where) {
  const Json& list = base::require_member(object, key, where);
  std::vector<double> out;
  if (!list.is_array() || list.size() > 2 * kPoints)
    fail_invalid(where, std::string(key) + " must be a list of at most 400 numbers", {});
  for (const Json& value : list) {
    if (!value.is_number()) fail_invalid(where, std::string(key) + " must be numbers", base::dump_json(value));
    out.push_back(value.get<double>());
  }
  return out;
}

Json score_json(const Score& score) {
  return {{"nats_per_token", score.nats_per_token},
          {"bits_per_byte", score.bits_per_byte},
          {"tokens", score.tokens},
          {"bytes", score.bytes}};
}

Score score_of(const Json& json, const std::string& where) {
  return {base::require_number(json, "nats_per_token", where), base::require_number(json, "bits_per_byte", where),
          base::require_int(json, "tokens", 0, INT64_MAX, where),
          base::require_int(json, "bytes", 0, INT64_MAX, where)};
}

}  // namespace

Json config_of(const spec::RunConfig& config) {
  const Json all = spec::to_json(config);
  return {{"model", all.at("model")}, {"train", all.at("train")}};
}

int count_spikes(const std::vector<double>& losses) {
  constexpr size_t kBefore = 50;
  int spikes = 0;
  size_t quiet_until = 0;
  for (size_t i = kBefore; i < losses.size(); ++i) {
    double mean = 0, square = 0;
    for (size_t j = i - kBefore; j < i; ++j) mean += losses[j] / kBefore;
    for (size_t j = i - kBefore; j < i; ++j) square += (losses[j] - mean) * (losses[j] - mean) / kBefore;
    const double above = losses[i] - mean;
    if (above <= 0.1 || above <= 5 * std::sqrt(square)) continue;
    if (i >= quiet_until) ++spikes;
    quiet_until = i + kBefore;
  }
  return spikes;
}

void read_records(const base::fs::path& metrics, int64_t steps, RunResult& result) {
  std::vector<double> losses, tokens;
  double before = 0;
  corpus::for_each_logged_object(metrics, [&](const Json& record, const std::string& where) {
    const std::string type = base::require_string(record, "type", where);
    if (type == "step") {
      losses.push_back(base::require_number(record, "loss", where));
      tokens.push_back(base::require_number(record, "tokens", where));
      const double speed = base::require_number(record, "tokens_per_s", where);
      if (speed > 0) result.seconds += (tokens.back() - before) / speed;
      before = tokens.back();
    } else if (type == "validation") {
      result.validation_tokens.push_back(tokens.empty() ? 0 : tokens.back());
      result.validation_nats.push_back(base::require_number(record, "nats_per_token", where));
      if (record.contains("max_vio")) result.max_vio = base::require_number(record, "max_vio", where);
    }
  });
  if (std::ssize(losses) != steps) {
    fail_invalid("compare", "a finished run has a record of every step",
                 metrics.string() + ": " + std::to_string(losses.size()) + " of " + std::to_string(steps));
  }
  result.steps = steps;
  result.tokens = static_cast<int64_t>(tokens.empty() ? 0 : tokens.back());
  result.curve_tokens = charts::thinned(tokens, kPoints);
  result.curve_loss = charts::thinned(losses, kPoints);
  result.spikes = count_spikes(losses);
}

Json to_json(const RunResult& r) {
  Json json = {
      {"format", kFormat},
      {"arm", r.arm},
      {"seed", r.seed},
      {"preset", r.preset},
      {"settings", r.settings},
      {"build", {{"program", r.build.program}, {"isa", r.build.isa}}},
      {"data_hash", r.data_hash},
      {"threads", r.threads},
      {"steps", r.steps},
      {"tokens", r.tokens},
      {"seconds", std::round(r.seconds * 10) / 10},
      {"spikes", r.spikes},
      {"max_vio", r.max_vio},
      {"score", score_json(r.score)},
      {"domains", Json::object()},
      {"curve", {{"tokens", rounded(r.curve_tokens)}, {"loss", rounded(r.curve_loss)}}},
      {"validation", {{"tokens", rounded(r.validation_tokens)}, {"nats_per_token", rounded(r.validation_nats)}}},
      {"config", r.config}};
  for (const auto& [name, score] : r.domains) json["domains"][name] = score_json(score);
  return json;
}

RunResult result_from_json(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("format") || json["format"] != kFormat) {
    fail_invalid(where, std::string("not a result of a comparison's run (format ") + kFormat + ")",
                 json.is_object() && json.contains("format") ? base::dump_json(json["format"]) : "no format");
  }
  RunResult r;
  r.arm = base::require_string(json, "arm", where);
  r.seed = base::require_int(json, "seed", 0, INT64_MAX, where);
  r.preset = base::require_string(json, "preset", where);
  for (const Json& setting : base::require_member(json, "settings", where)) {
    if (!setting.is_string()) fail_invalid(where, "settings are texts", base::dump_json(setting));
    r.settings.push_back(setting.get<std::string>());
  }
  const Json& build = base::require_member(json, "build", where);
  r.build = {base::require_string(build, "program", where), base::require_string(build, "isa", where)};
  r.data_hash = base::require_string(json, "data_hash", where);
  r.threads = static_cast<int>(base::require_int(json, "threads", 0, 1 << 16, where));
  r.steps = base::require_int(json, "steps", 1, INT64_MAX, where);
  r.tokens = base::require_int(json, "tokens", 1, INT64_MAX, where);
  r.seconds = base::require_number(json, "seconds", where);
  r.spikes = static_cast<int>(base::require_int(json, "spikes", 0, INT32_MAX, where));
  r.max_vio = base::require_number(json, "max_vio", where);
  r.score = score_of(base::require_member(json, "score", where), where);
  for (const auto& [name, score] : base::require_member(json, "domains", where).items()) {
    r.domains[name] = score_of(score, where);
  }
  const Json &curve = base::require_member(json, "curve", where),
             &validation = base::require_member(json, "validation", where);
  r.curve_tokens = numbers(curve, "tokens", where);
  r.curve_loss = numbers(curve, "loss", where);
  r.validation_tokens = numbers(validation, "tokens", where);
  r.validation_nats = numbers(validation, "nats_per_token", where);
  if (r.curve_tokens.size() != r.curve_loss.size() || r.validation_tokens.size() != r.validation_nats.size()) {
    fail_invalid(where, "a curve has one value for each of its tokens", {});
  }
  r.config = base::require_member(json, "config", where);
  return r;
}

std::vector<RunResult> read_results(const base::fs::path& folder, const std::vector<Probe>& probes) {
  std::vector<base::fs::path> files;
  std::error_code fault;
  for (const auto& entry : base::fs::directory_iterator(folder, fault)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<RunResult> results;
  for (const auto& file : files) {
    const std::string where = file.string();
    results.push_back(result_from_json(base::parse_json(base::read_file(file, kLongest), where), where));
    const RunResult &first = results.front(), &last = results.back();
    if (!builds_agree(first.build, last.build, probes)) {
      fail_invalid("compare", "all runs of a comparison come from one build and instruction set",
                   first.build.program + ", " + first.build.isa + " and " + last.build.program + ", " + last.build.isa,
                   where + " is of the second");
    }
    if (last.data_hash != first.data_hash) {
      fail_invalid("compare", "all runs of a comparison learn from the same data",
                   first.data_hash + " and " + last.data_hash, where + " is of the second");
    }
  }
  return results;
}

void require_result_of(const RunResult& result, const Run& run, const std::string& where) {
  // Of a setting that came later than the result, the run had the default.
  Json config = config_of({});
  config.merge_patch(result.config);
  const bool same = result.preset == run.arm->preset && result.settings == run.settings;
  if (same && config == config_of(run.config.config)) return;
  fail_invalid("compare", "a finished run has other settings than the plan", where,
               "name another output folder for a changed plan");
}

}  // namespace dsmoe::compare
