// One page about one or several training runs: what was learnt, how the experts were used, what the models write.
//
// The page is a single file: figures are SVG, numbers are also there as JSON, and nothing is fetched.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "study/routing_counts.h"

namespace dsmoe::study {

/// What is known of a run; whatever a run's folder lacks is left out of the page.
struct RunReport {
  std::string name;
  base::Json plan = base::Json::object();                         ///< plan.json: parameters, FLOPs
  std::vector<double> step, tokens, loss, max_vio, tokens_per_s;  ///< from metrics.jsonl
  struct Domain {
    std::string name;
    double bits_per_byte, nats_per_token;
    int64_t tokens, bytes;
  };
  std::vector<Domain> evaluation;        ///< from eval.json; the first is "all"
  std::optional<RoutingCounts> routing;  ///< from routing.json
  struct Sample {
    std::string name, text;
  };
  std::vector<Sample> samples;                   ///< from samples/*.txt, by name
  base::Json provenance = base::Json::object();  ///< of eval.json and routing.json
  std::string config;                            ///< run.toml, the resolved configuration with its origins
};

/// Reads a run's folder. Throws Error when there is no metrics.jsonl or a file is damaged.
/// What read_run may read of a folder, for whoever must not write over it; a folder stands for every file in it.
std::vector<std::filesystem::path> run_files(const std::filesystem::path& folder);
RunReport read_run(const std::filesystem::path& folder);

/// The page. `title` heads it; the first line under it says where the runs saw different numbers of tokens.
std::string render_report(const std::vector<RunReport>& runs, const std::string& title);

/// Side by side, for a terminal: a row per domain, a column per run, bits per byte; before it the same line as on the
/// page where the runs saw different numbers of tokens.
std::string evaluation_table(const std::vector<RunReport>& runs);

}  // namespace dsmoe::study
