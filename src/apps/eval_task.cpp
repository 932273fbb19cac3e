// `dsmoe eval choice` and `dsmoe eval generate`: the same words, two kinds of task.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>

#include "apps/command.h"
#include "apps/eval.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/json.h"
#include "base/output.h"
#include "eval/sample.h"
#include "eval/task_score.h"
#include "formats/manifest.h"
#include "formats/model_files.h"
#include "kernels/isa.h"

namespace dsmoe::apps {
namespace {

struct Options {
  eval::TaskKind kind;
  ModelArguments model;
  std::vector<std::string> folders;
  eval::TaskOptions task;
  OutputArguments output;
  bool json = false;
};

constexpr const char *kResults = "results.json", *kSamples = "samples.jsonl";

std::vector<eval::Task> read_tasks(const Options& options) {
  std::vector<eval::Task> tasks;
  for (const std::string& folder : options.folders) {
    eval::Task task = eval::read_task(folder);
    const std::string name(eval::task_kind_name(task.kind));
    if (task.kind != options.kind) {
      base::fail(base::ErrorKind::kUsage, "task", "the task is of another kind", folder + " is of kind " + name,
                 "dsmoe eval " + name + " takes it");
    }
    for (const eval::Task& other : tasks) {
      if (other.name == task.name) {
        base::fail(base::ErrorKind::kUsage, "task", "tasks are told apart by their folders' names", task.name);
      }
    }
    eval::draw_shots(task, options.task);  // whether there are enough
    tasks.push_back(std::move(task));
  }
  return tasks;
}

base::FolderPolicy results_policy(const Options& options) {
  base::FolderPolicy policy;
  policy.force = options.output.force;
  policy.is_own = [](const std::string& name) { return name == kResults || name == kSamples; };
  policy.last = kResults;
  return policy;
}

void check_output(const Options& options) {
  if (options.output.path.empty()) return;
  std::vector<base::fs::path> inputs = formats::model_files(options.model.path);
  inputs.insert(inputs.end(), options.folders.begin(), options.folders.end());
  base::require_output_folder(options.output.path, results_policy(options), inputs);
}

// What the scores are of: nothing that they do not depend on, such as a number of threads.
base::Json provenance(const Options& options, const engine::Engine& engine) {
  base::Json json = {{"program", "dsmoe " + version_text()}, {"model", options.model.path}};
  const base::fs::path manifest = base::fs::path(options.model.path) / formats::kManifestFile;
  std::error_code ignored;
  // The manifest has a checksum of each file of the model, and one of its own.
  if (base::fs::is_regular_file(manifest, ignored)) json["model_hash"] = formats::hash_file(manifest);
  if (!options.model.quantise.empty()) json["quantized"] = options.model.quantise;
  json["cache_type"] = engine::cache_type_name(engine.cache_type());
  json["instruction_set"] = kernels::isa_name(kernels::active_isa());
  json["seed"] = options.task.seed;
  json["limit"] = options.task.limit > 0 ? base::Json(options.task.limit) : base::Json();
  return json;
}

eval::TaskScore score_task(const Options& options, loading::Model& model, const eval::Task& task) {
  const WorkSignals signals;
  std::optional<Progress> progress;
  const auto on_item = [&](int64_t done, int64_t all) {
    if (signals.requested()) base::fail(base::ErrorKind::kStopped, "eval", "stopped on request");
    if (!progress) progress.emplace(task.name, static_cast<uint64_t>(all), count_text);
    progress->update(static_cast<uint64_t>(done));
  };
  const auto score = options.kind == eval::TaskKind::kChoice ? eval::score_choices : eval::score_answers;
  eval::TaskOptions asked = options.task;
  asked.ends = model.end_tokens();
  return score(model.engine(), model.require_tokenizer("a task is text and needs one"), task, asked, on_item);
}

std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return std::isnan(value) ? "-" : text;
}

// "above chance, 0.2500", as the interval tells; nothing for figures that know no chance.
std::string beside_chance(const eval::MetricEstimate& metric, double chance) {
  if (!metric.metric.share || chance == 0) return "";
  const char* where = metric.at_chance ? "at" : metric.estimate.mean > chance ? "above" : "below";
  return std::string(where) + " chance, " + figure(chance);
}

void print_metric(const std::string& name, const eval::TaskScore& score, const eval::Summary& summary,
                  const eval::MetricEstimate& metric) {
  const std::string interval = figure(metric.interval.low) + " to " + figure(metric.interval.high);
  std::printf("%-24s %7lld %5lld  %-12s %10s %9s   %-24s %s\n", name.c_str(), static_cast<long long>(summary.items),
              static_cast<long long>(score.options.shots), metric.metric.name.c_str(),
              figure(metric.estimate.mean).c_str(), figure(metric.estimate.standard_error).c_str(), interval.c_str(),
              beside_chance(metric, summary.chance).c_str());
}

// All figures of a task, then the task's own figure of each pool.
void print(const std::vector<eval::TaskScore>& scores) {
  std::printf("%-24s %7s %5s  %-12s %10s %9s   %s\n", "task", "items", "shots", "figure", "mean", "s.e.",
              "95 % interval");
  for (const eval::TaskScore& score : scores) {
    for (const eval::Summary& summary : score.summaries) {
      for (const eval::MetricEstimate& metric : summary.metrics) {
        const bool own = metric.metric.name == score.task->metric;
        if (summary.pool.empty()) print_metric(score.task->name, score, summary, metric);
        if (!summary.pool.empty() && own) print_metric("  " + summary.pool, score, summary, metric);
      }
    }
  }
}

void write_results(const Options& options, const base::Json& results, const std::vector<eval::TaskScore>& scores) {
  base::FolderOutput files(options.output.path, results_policy(options));
  std::string samples;
  for (const eval::TaskScore& score : scores) samples += eval::samples_jsonl(score);
  files.write_file(kSamples, samples);
  files.write_file(kResults, base::dump_json(results, 2) + "\n");
  files.commit();
}

void act(const Options& options) {
  const std::vector<eval::Task> tasks = read_tasks(options);
  check_output(options);
  loading::Model model = open_model(options.model);
  std::vector<eval::TaskScore> scores;
  for (const eval::Task& task : tasks) scores.push_back(score_task(options, model, task));
  const base::Json results = eval::results_json(scores, provenance(options, model.engine()));
  if (!options.output.path.empty()) write_results(options, results, scores);
  if (options.json) {
    std::cout << base::dump_json(results) << "\n";
  } else {
    print(scores);
  }
}

struct Help {
  const char *what, *example;
};

void add(CLI::App& group, eval::TaskKind kind, const Help& help) {
  auto options = std::make_shared<Options>();
  options->kind = kind;
  CLI::App* command = group.add_subcommand(std::string(eval::task_kind_name(kind)), help.what);
  options->model.add_to(*command);
  command->add_option("TASK", options->folders, "folders of items.jsonl and task.toml (docs/evaluation.md)")
      ->required();
  add_whole_number(*command, "--shots", options->task.shots,
                   "answered items before each question; -1: as the task says", {-1, 1000});
  add_whole_number(*command, "--limit", options->task.limit, "the first so many items of each pool; 0: all",
                   {0, int64_t{1} << 40});
  add_whole_number(*command, "-s,--seed", options->task.seed, "draws the shots");
  add_output(*command, options->output, "-o,--output", "a folder for results.json and samples.jsonl");
  command->add_flag("--json", options->json, "results.json on standard output");
  command->footer(std::string("A task of your own is a folder of two files (docs/evaluation.md):\n\n") + help.example);
  command->callback([options] { act(*options); });
}

}  // namespace

void add_eval_choice(CLI::App& group) {
  add(group, eval::TaskKind::kChoice,
      {"Multiple choice: is the right answer the likeliest?",
       "  task.toml    kind = \"choice\"\n"
       "  items.jsonl  {\"question\": \"The sky is\", \"choices\": [\"blue\", \"green\"], \"answer\": 0}\n\n"
       "  dsmoe eval choice -m runs/a/latest colours -o scores"});
}

void add_eval_generate(CLI::App& group) {
  add(group, eval::TaskKind::kGenerate,
      {"Questions answered by generating: is the answer a right one?",
       "  task.toml    kind = \"generate\"\n"
       "  items.jsonl  {\"question\": \"The sky is\", \"answers\": [\"blue\"]}\n\n"
       "  dsmoe eval generate -m runs/a/latest colours -o scores"});
}

}  // namespace dsmoe::apps
