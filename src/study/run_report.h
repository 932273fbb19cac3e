// What a training run's folder says of it: records, scores, what studies left, samples, settings. The page about runs
// is made of these alone.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "study/ablation.h"
#include "study/model_diff.h"
#include "study/routing_counts.h"
#include "study/routing_findings.h"
#include "study/routing_saturation.h"
#include "study/routing_text.h"

namespace dsmoe::study {

/// What is known of a run; whatever a run's folder lacks is left out of the page.
struct RunReport {
  std::string name;                                               ///< its folder's, or as much of the path as tells it
  base::Json plan = base::Json::object();                         ///< plan.json: parameters, FLOPs
  int64_t parameters = 0;                                         ///< from metrics.jsonl; 0: not told
  std::vector<double> step, tokens, loss, max_vio, tokens_per_s;  ///< of each step, from metrics.jsonl
  struct Domain {
    std::string name;
    double bits_per_byte, nats_per_token;
    int64_t tokens, bytes;
  };
  using Scores = std::vector<Domain>;  ///< the first is "all"
  struct Validation {
    double step, tokens;  ///< trained on by then; NaN where the records do not count tokens
    Scores scores;
  };
  std::vector<Validation> validations;         ///< from metrics.jsonl
  Scores evaluation;                           ///< from eval.json
  std::optional<RoutingCounts> routing;        ///< from routing.json
  RoutingFindings findings;                    ///< the same file's
  std::optional<TextRecord> text;              ///< from routing_text.json
  std::optional<RouterSaturation> saturation;  ///< from routing_checkpoints.json
  std::map<AblationKind, Ablation> ablations;  ///< from disable.json, shared.json and fewer.json
  std::optional<ModelDiff> diff;               ///< from diff.json
  struct Sample {
    std::string name, prompt, text;  ///< the prompt is empty where the folder does not tell it apart
  };
  std::vector<Sample> samples;  ///< from samples/NAME.txt and NAME.prompt: prose first, then by name
  struct Note {
    double step;
    std::string text;
  };
  std::vector<Note> written, alarms;             ///< from metrics.jsonl: what the model wrote on the way; warnings
  base::Json provenance = base::Json::object();  ///< of eval.json and routing.json
  std::string config;                            ///< run.toml, the resolved configuration with its origins
  std::map<std::string, std::string> settings;   ///< the same as section.key and value
};

/// What read_run may read of a folder, for whoever must not write over it; a folder stands for every file in it.
std::vector<std::filesystem::path> run_files(const std::filesystem::path& folder);
/// Reads a run's folder. Throws Error when there is no metrics.jsonl or a file is damaged.
RunReport read_run(const std::filesystem::path& folder);
/// The same for several; folders of one name get as much of their paths into their names as tells them apart. Throws
/// Error(kUsage) for one folder named twice.
std::vector<RunReport> read_runs(const std::vector<std::filesystem::path>& folders);

}  // namespace dsmoe::study
