#include "compare/probe.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"

namespace dsmoe::compare {

namespace fs = base::fs;

namespace {

using base::fail_invalid;
using base::Json;

// All that training and scoring decide: neither what computed it nor how long that took.
Json outcome(const RunResult& result) {
  Json json = to_json(result);
  for (const char* key : {"build", "threads", "seconds"}) json.erase(key);
  return json;
}

std::string digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

RunResult result_of(const fs::path& folder, const Run& run) {
  const std::string where = result_file(folder, run).string();
  return result_from_json(base::parse_json(base::read_file(where, 1 << 20), where), where);
}

const Run& run_to_probe(const std::vector<Run>& runs, const std::string& name, const RunnerOptions& options) {
  const auto run = std::find_if(runs.begin(), runs.end(), [&](const Run& each) { return each.name() == name; });
  if (run == runs.end()) fail_invalid("compare", "no run of the plan has this name", name);
  if (!fs::exists(result_file(options.folder, *run))) {
    fail_invalid("compare", "a probe needs a run that is finished", name, "results/ has their names");
  }
  if (result_of(options.folder, *run).build == options.build) {
    fail_invalid("compare", "a probe needs a run of another build", name + " is of this one");
  }
  return *run;
}

}  // namespace

RunnerEnd probe_build(const Plan& plan, const std::string& plan_text, const std::vector<Run>& runs,
                      const std::string& name, const RunnerOptions& options, RunnerListener& listener) {
  const Run& run = run_to_probe(runs, name, options);
  const RunResult before = result_of(options.folder, run);
  if (before.data_hash != options.data_hash) {
    fail_invalid("compare", "all runs of a comparison learn from the same data",
                 before.data_hash + " and " + options.data_hash);
  }
  // A comparison of this run alone.
  RunnerOptions alone = options;
  alone.folder = probes_folder(options.folder) / run.name();
  alone.keep_models = false;
  alone.study = {};
  fs::create_directories(alone.folder);
  if (run_comparison(plan, plan_text, {run}, alone, listener) == RunnerEnd::kStopped) return RunnerEnd::kStopped;
  const RunResult after = result_of(alone.folder, run);
  fs::remove_all(alone.folder);
  if (outcome(before) != outcome(after)) {
    fail_invalid("compare", "this build does not give the bits of the one before",
                 run.name() + " ended at " + digits(before.score.nats_per_token) + " nats, and now at " +
                     digits(after.score.nats_per_token),
                 "finish the comparison with " + before.build.program + ", or name another folder");
  }
  write_probe(options.folder, {run.name(), before.build, options.build}, after.score.nats_per_token);
  listener.on_notice("the probe gave the same bits: " + run.name() + ", " + digits(after.score.nats_per_token) +
                     " nats a token");
  return RunnerEnd::kDone;
}

}  // namespace dsmoe::compare
