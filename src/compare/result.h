// One finished run of a comparison as one small JSON file: what it was, what made it, how it went, what it scored.
// Pages are made from these files and the plan alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "compare/budget.h"
#include "compare/build.h"

namespace dsmoe::compare {

/// Text scored by the finished model.
struct Score {
  double nats_per_token = 0, bits_per_byte = 0;
  int64_t tokens = 0, bytes = 0;
};

struct RunResult {
  std::string arm;
  int64_t seed = 0;
  Settings settings;  ///< of dsmoe train, after the preset
  std::string preset;
  base::Json config;  ///< resolved, without folders
  Build build;
  std::string data_hash;
  int threads = 0;
  int64_t steps = 0, tokens = 0;
  double seconds = 0;  ///< of training, over all its starts
  /// At most 200 points each; losses between points are averaged.
  std::vector<double> curve_tokens, curve_loss, validation_tokens, validation_nats;
  int spikes = 0;      ///< see count_spikes
  double max_vio = 0;  ///< of the last validation (MaxVio of the whole set); 0 for dense models
  Score score;         ///< of the whole validation split
  std::map<std::string, Score> domains;
};

/// How often the loss leaves its path: steps at which it exceeds the mean of the 50 steps before by more than 5 of
/// their standard deviations and by more than 0.1 nats, neighbours within 50 steps counted once.
int count_spikes(const std::vector<double>& losses);

/// What the records of a run's folder (metrics.jsonl) say of it: steps, tokens, curves, spikes, seconds. Throws
/// Error(kInvalid) naming the line that is damaged, or where the last step is missing.
void read_records(const base::fs::path& metrics, int64_t steps, RunResult& result);

base::Json to_json(const RunResult& result);
/// Throws Error(kInvalid) naming `where` for another format or members that are not what they should be.
RunResult result_from_json(const base::Json& json, const std::string& where);

/// All results of a folder, in the order of its names. Throws where one is damaged, where two are of different data, or
/// of builds that no probe shows to give the same bits.
std::vector<RunResult> read_results(const base::fs::path& folder, const std::vector<Probe>& probes = {});
/// [model] and [train] of a configuration, as a result keeps them.
base::Json config_of(const spec::RunConfig& config);
/// Throws Error(kInvalid) unless the result is of this run: same preset, settings and resolved configuration.
void require_result_of(const RunResult& result, const Run& run, const std::string& where);

}  // namespace dsmoe::compare
