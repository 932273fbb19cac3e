#include "train/run_plan.h"

#include <chrono>

#include "base/error.h"
#include "formats/manifest.h"
#include "moe/composed.h"
#include "tokenizer/tokenizer_json.h"
#include "train/trainer.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using base::fail_invalid;

std::unique_ptr<RunData> open_data(const std::string& path) {
  auto data = std::make_unique<RunData>(RunData{corpus::TokenDataset::open(path, "train"), std::nullopt});
  corpus::TokenDataset valid = corpus::TokenDataset::open(path, "valid");
  if (valid.total_tokens() > 0) data->valid.emplace(std::move(valid));
  return data;
}

// The tokens that begin and end a document are the tokenizer's to say. A value that somebody set must agree.
void take_border(spec::ResolvedConfig& config, const char* key, int64_t& member, int32_t of_data) {
  if (of_data < 0 || member == of_data) return;
  if (config.origins.contains(key)) {
    fail_invalid("train", std::string(key) + " differs from the data's tokenizer",
                 std::to_string(member) + " and " + std::to_string(of_data), "leave it out: the data says it");
  }
  member = of_data;
  config.origins[key] = "data";
}

void fit_to_data(spec::ResolvedConfig& config, const corpus::TokenDataset& data) {
  if (data.vocab_size() > config.config.model.vocab_size) {
    fail_invalid("train", "the data's vocabulary is larger than model.vocab_size",
                 std::to_string(data.vocab_size()) + " and " + std::to_string(config.config.model.vocab_size),
                 "set model.vocab_size=" + std::to_string(data.vocab_size()) + " or build the data anew");
  }
  take_border(config, "model.bos_token_id", config.config.model.bos_token_id, data.bos_id());
  take_border(config, "model.eos_token_id", config.config.model.eos_token_id, data.eos_id());
}

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
  const auto start = std::chrono::steady_clock::now();
  const double step_seconds = options.step_seconds > 0
                                  ? options.step_seconds
                                  : measure_step_seconds(plan.config.config, plan.data->train, options.parallel_for);
  const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  train.steps = steps_for_minutes(train, step_seconds, spent);
  char text[160];
  std::snprintf(text, sizeof text, "a step takes %.3g s: %lld %s %.4g minutes", step_seconds,
                static_cast<long long>(train.steps), train.steps == 1 ? "step fills" : "steps fill", train.minutes);
  listener.on_notice(text);
}

// Ids of one tokenizer mean nothing to weights that another one's text has trained.
void require_tokenizer_of(const fs::path& init, const corpus::TokenDataset& data) {
  if (init.empty() || !fs::exists(init / "tokenizer.json") || data.tokenizer_hash().empty()) return;
  if (tokenizer::tokenizer_hash(tokenizer::load_tokenizer(init)) == data.tokenizer_hash()) return;
  fail_invalid("train", "the data was built with another tokenizer than the model's of --init", data.folder().string(),
               "build it with --tokenizer " + init.string());
}

// What is asked for and will not happen.
void tell_what_will_not_be(const RunPlan& plan, RunListener& listener) {
  const spec::TrainConfig& train = plan.config.config.train;
  if (!plan.data->valid) {
    listener.on_notice(
        "the data has nothing to validate on, so there will be no validation; dsmoe data build holds out " +
        std::string("more with a larger --valid-share"));
  }
  if (train.warmup_steps > train.steps) {
    listener.on_notice("the warm-up of " + std::to_string(train.warmup_steps) + " steps is longer than the run of " +
                       std::to_string(train.steps) + ": the learning rate stays below train.learning_rate");
  }
}

}  // namespace

RunPlan plan_run(spec::ResolvedConfig config, RunFolder& folder, const RunOptions& options, RunListener& listener) {
  RunPlan plan;
  plan.config = std::move(config);
  plan.data = open_data(plan.config.config.data.path);
  fit_to_data(plan.config, plan.data->train);
  require_tokenizer_of(options.init_path, plan.data->train);
  plan.checkpoint = choose_checkpoint(folder, options, listener);
  fix_steps(plan, folder, options, listener);
  tell_what_will_not_be(plan, listener);
  if (plan.checkpoint) {
    require_same_run(*plan.checkpoint, plan.config.config, plan.data->train.hash());
    if (plan.checkpoint->state.threads != options.threads && moe::composed(torch::zeros({1}))) {
      listener.on_notice("the run began with " + std::to_string(plan.checkpoint->state.threads) + " threads and has " +
                         std::to_string(options.threads) + " now: the last bits of sums may differ");
    }
  }
  for (const std::string& name : folder.set_aside_after(plan.step())) {
    listener.on_notice("set aside " + name + ", which is newer than where the run goes on");
  }
  base::write_file(folder.path() / "run.toml", spec::to_toml(plan.config.config, &plan.config.origins), *options.files);
  return plan;
}

}  // namespace dsmoe::train
