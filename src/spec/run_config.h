// All of a run's configuration: the model, its training, its data, where results go, and what `plan` assumes.
//
// A key is `section.name`. visit_run_fields lists every one of them; files, command line, help, records and
// comparison (settings.h) are made from that list.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "spec/model_config.h"
#include "spec/train_config.h"

namespace dsmoe::spec {

struct DataConfig {
  std::string path;
  std::map<std::string, double> weights;
  std::string chat_format;
  bool operator==(const DataConfig&) const = default;
};

struct OutputConfig {
  std::string dir;
  bool operator==(const OutputConfig&) const = default;
};

/// How the processes of a run share it.
struct ParallelConfig {
  int64_t expert = 1;
  bool operator==(const ParallelConfig&) const = default;
};

/// What `dsmoe plan` assumes; a run does not read it.
struct PlanConfig {
  double nominal_ffn = 0;
  double flops_per_second = 0;
  int64_t ranks = 1;
  double link_bytes_per_second = 0;
  bool operator==(const PlanConfig&) const = default;
};

struct RunConfig {
  ModelConfig model;
  TrainConfig train;
  DataConfig data;
  OutputConfig output;
  ParallelConfig parallel;
  PlanConfig plan;
  bool operator==(const RunConfig&) const = default;
};

/// Every rule of every section; throws Error(kInvalid) at the first that does not hold.
void validate(const RunConfig& config);

template <class Config, class Visit>
void visit_data_fields(Config& c, Visit&& visit) {
  visit("path", c.path, "folder made by dsmoe data build");
  visit("weights", c.weights, "how often each domain is drawn, by name; empty: as often as it occurs");
  visit("chat_format", c.chat_format,
        "conversations are learnt (dsmoe sft): own for the model's chat template, or a format's name; empty: text");
}

template <class Config, class Visit>
void visit_output_fields(Config& c, Visit&& visit) {
  visit("dir", c.dir, "folder for checkpoints and records");
}

template <class Config, class Visit>
void visit_parallel_fields(Config& c, Visit&& visit) {
  visit("expert", c.expert, "processes that have the experts between them; divides the processes (docs/scaling.md)");
}

template <class Config, class Visit>
void visit_plan_fields(Config& c, Visit&& visit) {
  visit("nominal_ffn", c.nominal_ffn,
        "standard FFNs of 8 D^2 a token visits in a layer, for nominal FLOPs; 0: unknown");
  visit("flops_per_second", c.flops_per_second, "speed of one rank, for the time estimate; 0: none");
  visit("ranks", c.ranks, "processes that share the batch and the experts");
  visit("link_bytes_per_second", c.link_bytes_per_second, "speed of a rank's link, for the time estimate; 0: none");
}

/// visit(section, name, member, help) for every field of every section, in the order that files show them.
template <class Run, class Visit>
void visit_run_fields(Run& run, Visit&& visit) {
  const auto in = [&visit](const char* section) {
    return [&visit, section](const char* name, auto& member, const char* help) { visit(section, name, member, help); };
  };
  visit_model_fields(run.model, in("model"));
  visit_train_fields(run.train, in("train"));
  visit_data_fields(run.data, in("data"));
  visit_output_fields(run.output, in("output"));
  visit_parallel_fields(run.parallel, in("parallel"));
  visit_plan_fields(run.plan, in("plan"));
}

}  // namespace dsmoe::spec
