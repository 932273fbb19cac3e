// dsmoe compare: recipes side by side, on the same tokens from the same seeds, and what they show.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/compare_dry_run.h"
#include "apps/progress.h"
#include "apps/score_ablation.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "compare/page.h"
#include "compare/probe.h"
#include "compare/runner.h"
#include "corpus/dataset.h"
#include "engine/engine.h"
#include "eval/perplexity.h"
#include "eval/task_score.h"
#include "kernels/isa.h"
#include "loading/model.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;
using compare::Plan;
using compare::Run;

struct Options {
  std::string plan, output, data, report, pause, resume, probe;
  int jobs = 1, threads = 0;
  bool dry_run = false, keep_models = false;
};

fs::path trainer_program() {
  fs::path program = base::program_beside("dsmoe-train");
  if (!fs::exists(program)) {
    base::fail(base::ErrorKind::kFailure, "compare", "the training half was not built",
               program.string() + " is missing", "install LibTorch (tools/setup train) and build again with TRAIN=ON");
  }
  return program;
}

// Runs side by side share the processors out where nobody says how.
int threads_of_a_run(const Options& options) {
  if (options.threads > 0) return options.threads;
  return std::max(1, base::usable_processors() / options.jobs);
}

// Progress on one line, in FLOPs, with the names of the runs that train.
class Watcher : public compare::RunnerListener {
 public:
  void on_progress(double done, double all, const std::vector<std::string>& going) override {
    const auto whole = static_cast<uint64_t>(done);
    if (!progress_) {
      progress_ = std::make_unique<Progress>("", static_cast<uint64_t>(all), flops_text);
      progress_->set_done_before(whole);
    }
    std::string label = going.empty() ? "waiting" : going.front();
    if (going.size() > 1) label += " and " + std::to_string(going.size() - 1) + " more";
    progress_->set_label(label);
    progress_->update(whole);
  }
  void on_finished(const Run& run, const compare::RunResult& result) override {
    char figures[96];
    std::snprintf(figures, sizeof figures, "%.4f nats a token, %.4f bits a byte", result.score.nats_per_token,
                  result.score.bits_per_byte);
    say(run.name() + ": " + figures + ", " + duration_text(result.seconds));
  }
  // The clock starts anew behind a notice: paused time says nothing about the rate.
  void on_notice(const std::string& text) override {
    say(text);
    progress_.reset();
  }

 private:
  static std::string flops_text(double flops) { return count_text(flops) + "FLOP"; }
  void say(const std::string& text) {
    if (progress_) return progress_->say(text);
    std::cerr << text << "\n" << std::flush;
  }

  std::unique_ptr<Progress> progress_;
};

compare::Score score_of(const corpus::TextScore& score) {
  return {score.nats_per_token(), score.bits_per_byte(), score.tokens, score.bytes};
}

// The whole validation split, by the engine in float32.
void score_model(const fs::path& model, const corpus::TokenDataset& valid, int threads, const eval::OnScored& on_scored,
                 compare::RunResult& result) {
  engine::EngineOptions options;
  options.threads = threads;
  engine::Engine engine = engine::Engine::load(model, options);
  eval::PerplexityOptions perplexity;
  perplexity.sequence_length = result.config.at("train").at("sequence_length").get<int64_t>();
  const eval::Perplexity scores = eval::perplexity(engine, valid, perplexity, on_scored);
  result.score = score_of(scores.total);
  for (const auto& domain : scores.domains) result.domains[domain.name] = score_of(domain.score);
}

eval::OnScored stop_between(const StopSignals& signals) {
  return [&signals](int64_t, int64_t) {
    if (signals.requested()) base::fail(base::ErrorKind::kStopped, "compare", "stopped on request");
  };
}

compare::TaskFigure task_figure(const eval::TaskScore& score) {
  const eval::Summary& all = score.summaries.front();
  for (const eval::MetricEstimate& metric : all.metrics) {
    if (metric.metric.name != score.task->metric) continue;
    return {score.task->name,
            metric.metric.name,
            score.task->hash,
            all.items,
            score.options.shots,
            metric.estimate.mean,
            metric.estimate.standard_error,
            metric.metric.share ? all.chance : 0,
            metric.at_chance};
  }
  base::fail_invalid("compare", "a task's metric was not scored", score.task->name + ": " + score.task->metric);
}

// What the plan asks for, of the model in a folder.
void study_model(const fs::path& folder, const Plan& plan, const Run& run, const corpus::TokenDataset& valid,
                 const std::vector<eval::Task>& tasks, int threads, const StopSignals& signals,
                 compare::RunStudies& studies) {
  const spec::ModelConfig& config = run.config.config.model;
  std::vector<study::AblationKind> kinds;
  for (const study::AblationKind kind : plan.studies) {
    if (study::can_study(kind, config)) kinds.push_back(kind);
  }
  if (kinds.empty() && tasks.empty()) return;
  loading::ModelOptions open;
  open.engine.threads = threads;
  loading::Model model = loading::open_model(folder, open);
  eval::PerplexityOptions perplexity;
  perplexity.sequence_length = run.config.config.train.sequence_length;
  perplexity.token_limit = plan.study_tokens;
  for (const study::AblationKind kind : kinds) {
    studies.ablations.push_back(study::default_study(kind, config));
    score_ablation(model.engine(), valid, perplexity, studies.ablations.back(), stop_between(signals));
  }
  for (const eval::Task& task : tasks) {
    const auto score = task.kind == eval::TaskKind::kChoice ? eval::score_choices : eval::score_answers;
    eval::TaskOptions options;
    options.ends = model.end_tokens();
    studies.tasks.push_back(task_figure(score(model.engine(), model.require_tokenizer("a task is text and needs one"),
                                              task, options, stop_between(signals))));
  }
}

void write_pages(const fs::path& folder, const compare::Summary& summary) {
  base::write_file(folder / "report.md", compare::markdown_page(summary));
  base::write_file(folder / "report.html", compare::html_page(summary));
  base::write_file(folder / "report.csv", compare::csv_table(summary));
}

// Pages from the plan and the results alone.
void report(const fs::path& folder) {
  const Plan plan = compare::read_plan(compare::plan_file(folder));
  const std::vector<Run> runs = compare::runs_of(plan);
  const auto results = compare::read_results(compare::results_folder(folder), compare::read_probes(folder));
  const auto studies = compare::read_studies(compare::studies_folder(folder));
  const compare::Summary summary = compare::summarise(plan, runs, results, studies);
  write_pages(folder, summary);
  std::cout << compare::basis(summary) << "\n\n" << compare::text_table(summary);
  for (const auto& tested : summary.claims)
    std::cout << "\n" << tested.claim.text << "\n  " << compare::sentence(tested) << "\n";
  std::cerr << "pages written to " << (folder / "report.html").string() << ", report.md and report.csv\n";
}

void require_vocabulary(const corpus::TokenDataset& data, const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    const int64_t vocab = run.config.config.model.vocab_size;
    if (data.vocab_size() <= vocab) continue;
    base::fail_invalid("compare", "the data's vocabulary is larger than the model's",
                       std::to_string(data.vocab_size()) + " and " + std::to_string(vocab) + " (" + run.arm->name + ")",
                       "set model.vocab_size in the plan's [set], or build the data anew");
  }
}

void carry_out(const Options& options, const Plan& plan, const std::string& text, const std::vector<Run>& runs) {
  if (options.output.empty()) {
    base::fail(base::ErrorKind::kUsage, "compare", "-o must name the comparison's folder", "", "dsmoe compare --help");
  }
  const std::string data = options.data.empty() ? plan.data : options.data;
  if (data.empty()) {
    base::fail(base::ErrorKind::kUsage, "compare", "the data are not named", "", "--data FOLDER, or data in the plan");
  }
  const auto train = corpus::TokenDataset::open(data, "train"), valid = corpus::TokenDataset::open(data, "valid");
  if (valid.total_tokens() == 0) {
    base::fail_invalid("compare", "the data have no validation split to score", data, "build them with --valid-share");
  }
  require_vocabulary(train, runs);
  std::vector<eval::Task> tasks;
  for (const std::string& task : plan.tasks) tasks.push_back(eval::read_task(task));
  const WorkSignals signals;
  Watcher watcher;
  compare::RunnerOptions runner;
  runner.folder = options.output;
  runner.data = data;
  runner.trainer = trainer_program();
  runner.build = {version_text(), std::string(kernels::isa_name(kernels::active_isa()))};
  runner.data_hash = train.hash();
  runner.jobs = options.jobs;
  runner.threads = threads_of_a_run(options);
  runner.keep_models = options.keep_models;
  runner.score = [&](const fs::path& model, compare::RunResult& result) {
    score_model(model, valid, options.threads, stop_between(signals), result);
  };
  runner.study = [&](const fs::path& model, const Run& run, compare::RunStudies& studies) {
    study_model(model, plan, run, valid, tasks, options.threads, signals, studies);
  };
  runner.stop = [&] { return signals.requested(); };
  compare::RunnerEnd end = compare::RunnerEnd::kDone;
  if (!options.probe.empty()) end = compare::probe_build(plan, text, runs, options.probe, runner, watcher);
  if (end == compare::RunnerEnd::kDone) end = compare::run_comparison(plan, text, runs, runner, watcher);
  if (end == compare::RunnerEnd::kStopped) {
    base::fail(base::ErrorKind::kStopped, "compare", "stopped; all that was trained is saved", options.output,
               "the same command goes on");
  }
  report(options.output);
}

void act(const Options& options) {
  if (!options.pause.empty()) return compare::set_paused(options.pause, true);
  if (!options.resume.empty()) return compare::set_paused(options.resume, false);
  if (!options.report.empty()) return report(options.report);
  if (options.plan.empty()) {
    base::fail(base::ErrorKind::kUsage, "compare", "a plan is required", "",
               "configs/comparisons has some; docs/comparing.md tells more");
  }
  const std::string text = base::read_file(options.plan, 1 << 20);
  const Plan plan = compare::parse_plan(text, options.plan);
  const std::vector<Run> runs = compare::runs_of(plan);
  if (options.dry_run) {
    return say_what_would_run(plan, runs, {options.output, trainer_program(), threads_of_a_run(options)});
  }
  carry_out(options, plan, text, runs);
}

}  // namespace

void add_compare(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("compare", "Train recipes side by side on equal tokens, and test claims");
  CLI::Option* plan = command->add_option("PLAN", options->plan, "a plan file (docs/comparing.md)");
  command->add_option("-o,--output", options->output, "the comparison's folder; the same command goes on with it");
  command->add_option("--data", options->data, "folder made by dsmoe data build, in place of the plan's");
  add_whole_number(*command, "-j,--jobs", options->jobs, "runs side by side", {1, 64});
  add_threads(*command, options->threads, "-t,--threads",
              "threads of each run; 0: the processors, shared out among --jobs");
  command->add_flag("--keep-models", options->keep_models, "keep each run's last checkpoint, for dsmoe study");
  command
      ->add_option("--probe", options->probe,
                   "RUN: train this finished run of another build anew first; where it comes out the same, to the last "
                   "bit, this build may go on")
      ->type_name("RUN");
  command->add_flag("--dry-run", options->dry_run, "say what would run and how long, and leave");
  CLI::Option* pause = command->add_option("--pause", options->pause, "FOLDER: stop its runs until --resume FOLDER");
  CLI::Option* resume = command->add_option("--resume", options->resume, "FOLDER: let its runs go on");
  CLI::Option* report =
      command->add_option("--report", options->report, "FOLDER: make its pages anew from plan.toml and results/");
  for (CLI::Option* option : {pause, resume, report}) option->excludes(plan);
  pause->excludes(resume)->excludes(report);
  resume->excludes(report);
  command->footer(
      "Runs are started at low priority, one after another or --jobs at a time, all arms of the first seed first. "
      "Stopped or\n"
      "killed at any moment, the same command goes on to the same bits.\n\n"
      "  dsmoe compare configs/comparisons/tables-nano.toml --data shards -o runs/tables-nano\n"
      "  dsmoe compare --pause runs/tables-nano\n"
      "  dsmoe compare --report docs/results/tables-nano");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
