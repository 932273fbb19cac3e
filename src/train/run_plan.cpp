#include "train/run_plan.h"

#include <chrono>

#include "base/error.h"
#include "formats/manifest.h"
#include "moe/composed.h"
#include "train/base_model.h"
#include "train/trainer.h"
#include "train/vocabulary.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using base::fail_invalid;

// A folder as a person writes it: "RUN/step-00000010/", or "." inside it.
fs::path without_trailing_slash(const fs::path& named) {
  const fs::path path = fs::absolute(named).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

// A checkpoint under another step's name would be newer than itself: set aside, and the next resume would not find it.
CheckpointInfo open_as_named(const fs::path& path) {
  CheckpointInfo info = open_checkpoint(path);
  const int64_t named = step_of_name(path);
  if (named >= 0 && named != info.state.step) {
    fail_invalid("resume", "a checkpoint's name must be of its step",
                 path.string() + " holds step " + std::to_string(info.state.step),
                 "it has been renamed or copied: give it its own name, or move it out of the folder");
  }
  return info;
}

// The checkpoint to go on from, if any; its files have been compared with their checksums.
std::optional<CheckpointInfo> choose_checkpoint(RunFolder& folder, const RunOptions& options, RunListener& listener) {
  folder.require_checkpoint_names();
  switch (options.resume) {
    case Resume::kNever:
      if (folder.in_use()) {
        fail_invalid("train", "the output folder holds a run already", folder.path().string(),
                     "continue it with --resume auto, or name another output.dir");
      }
      return std::nullopt;
    case Resume::kPath: {
      const fs::path path = without_trailing_slash(options.resume_path);
      std::error_code ignored;
      if (folder.in_use() && !fs::equivalent(path.parent_path(), folder.path(), ignored)) {
        fail_invalid("resume", "the checkpoint lies outside the output folder, which holds a run of its own",
                     options.resume_path.string(), "name another output.dir");
      }
      formats::verify_manifest(path, options.parallel_for);
      return open_as_named(path);
    }
    case Resume::kAuto:
      break;
  }
  const CheckpointSearch search = folder.find_newest(options.parallel_for);
  for (const std::string& damaged : search.damaged) listener.on_notice(damaged + "; going back to the one before");
  if (!search.newest) return std::nullopt;
  return open_as_named(search.newest->path);
}

// A run that was cut before its first checkpoint has its steps in run.toml only.
std::optional<int64_t> steps_written_before(const fs::path& file, const spec::RunConfig& config) {
  if (!fs::exists(file)) return std::nullopt;
  const spec::RunConfig before = spec::resolve(file.string()).config;
  return first_difference(before, config).empty() ? std::optional(before.train.steps) : std::nullopt;
}

// Turns train.minutes into train.steps, once in a run's life.
void fix_steps(RunPlan& plan, const RunFolder& folder, const RunOptions& options, RunListener& listener) {
  spec::TrainConfig& train = plan.config.config.train;
  if (train.minutes <= 0) return;
  plan.config.origins["train.steps"] = "measured for train.minutes";
  if (plan.checkpoint) {
    train.steps = plan.checkpoint->config.train.steps;
    return;
  }
  if (options.resume == Resume::kAuto) {
    if (const auto steps = steps_written_before(folder.path() / "run.toml", plan.config.config)) {
      train.steps = *steps;
      return;
    }
  }
  if (!options.group.alone()) {
    fail_invalid("train", "train.minutes is for one process", std::to_string(options.group.size()) + " were started",
                 "set train.steps in its place");
  }
  const auto start = std::chrono::steady_clock::now();
  const double step_seconds =
      options.step_seconds > 0
          ? options.step_seconds
          : measure_step_seconds(plan.config.config, plan.data,
                                 {.parallel_for = options.parallel_for, .base = base_file(options.init_path)});
  const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  train.steps = steps_for_minutes(train, step_seconds, spent);
  char text[160];
  std::snprintf(text, sizeof text, "a step takes %.3g s: %lld %s %.4g minutes", step_seconds,
                static_cast<long long>(train.steps), train.steps == 1 ? "step fills" : "steps fill", train.minutes);
  listener.on_notice(text);
}

// What is asked for and will not happen.
void tell_what_will_not_be(const RunPlan& plan, RunListener& listener) {
  const spec::TrainConfig& train = plan.config.config.train;
  if (!plan.data.validation) {
    listener.on_notice("the data has nothing to validate on, so there will be no validation; " +
                       plan.data.without_validation);
  }
  if (train.warmup_steps > train.steps) {
    listener.on_notice("the warm-up of " + std::to_string(train.warmup_steps) + " steps is longer than the run of " +
                       std::to_string(train.steps) + ": the learning rate stays below train.learning_rate");
  }
}

}  // namespace

void take_from_checkpoint(RunPlan& plan) {
  if (plan.checkpoint) take_vocabulary(plan.config, plan.checkpoint->config.model);
}

RunPlan plan_run(spec::ResolvedConfig config, RunData data, RunFolder& folder, const RunOptions& options,
                 RunListener& listener) {
  RunPlan plan;
  plan.config = std::move(config);
  plan.data = std::move(data);
  plan.checkpoint = choose_checkpoint(folder, options, listener);
  take_from_checkpoint(plan);
  fix_steps(plan, folder, options, listener);
  tell_what_will_not_be(plan, listener);
  if (plan.checkpoint) {
    require_same_run(*plan.checkpoint, plan.config.config, plan.data.hash);
    if (plan.checkpoint->state.threads != options.threads && moe::composed(torch::zeros({1}))) {
      listener.on_notice("the run began with " + std::to_string(plan.checkpoint->state.threads) + " threads and has " +
                         std::to_string(options.threads) + " now: the last bits of sums may differ");
    }
  }
  for (const std::string& name : folder.set_aside_after(plan.step())) {
    listener.on_notice("set aside " + name + ", which is newer than where the run goes on");
  }
  base::write_file(folder.path() / "run.toml", spec::to_toml(plan.config.config, &plan.config.origins), *options.files);
  if (!plan.data.description.is_null()) {
    base::write_file(folder.path() / "data.json", base::dump_json(plan.data.description, 2) + "\n", *options.files);
  }
  return plan;
}

}  // namespace dsmoe::train
