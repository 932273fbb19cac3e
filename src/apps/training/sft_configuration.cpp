#include "apps/training/sft_configuration.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/model_files.h"

namespace dsmoe::apps {
namespace {

constexpr const char* kCommandLine = "command line";

// The largest number of sequences that divides the batch and is no more than what the base run's passes held.
int64_t micro_batch_for(int64_t examples, int64_t most) {
  int64_t micro = std::max<int64_t>(1, std::min(examples, most));
  while (examples % micro != 0) --micro;
  return micro;
}

// The [train] section of the run that made the base, or the defaults.
spec::TrainConfig train_config_of(const base::fs::path& base, const spec::ModelConfig& model) {
  std::error_code ignored;
  const base::fs::path run = base / "run.toml";
  if (base::fs::exists(run, ignored)) return spec::resolve(run.string()).config.train;
  spec::TrainConfig train;
  train.sequence_length = std::min<int64_t>(model.max_position_embeddings, 2048);
  return train;
}

}  // namespace

bool set_by_hand(const spec::ResolvedConfig& config, const std::string& key) {
  const auto found = config.origins.find(key);
  return found != config.origins.end() && found->second == kCommandLine;
}

const SftRecipe& sft_recipe(const std::string& name) {
  static const SftRecipe kDefault{.epochs = 3,
                                  .examples = 32,
                                  .rate = -0.1,
                                  .schedule = spec::Schedule::kCosine,
                                  .warmup_share = 0.03,
                                  .longest = 0};
  static const SftRecipe kPaper{.epochs = 8,
                                .examples = 1024,
                                .rate = 1e-5,
                                .schedule = spec::Schedule::kConstant,
                                .warmup_share = 0,
                                .longest = 4096};
  if (name == "default") return kDefault;
  if (name == "paper") return kPaper;
  base::fail(base::ErrorKind::kUsage, "sft", "--recipe must be default or paper", base::in_quotes(name));
}

spec::ResolvedConfig sft_configuration(const base::fs::path& base, const SftRecipe& recipe,
                                       const std::vector<std::string>& settings) {
  spec::RunConfig run;
  run.model = formats::config_of_model(base);
  spec::TrainConfig& train = run.train = train_config_of(base, run.model);
  // Adapters begin at zero, and chosen experts are few: they take the whole rate where all weights take a part of it.
  const double part = recipe.lora_rank > 0 || recipe.experts_alone ? 1 : -recipe.rate;
  train.learning_rate = recipe.rate < 0 ? part * train.learning_rate : recipe.rate;
  train.schedule = recipe.schedule;
  train.warmup_steps = 0;
  train.minutes = 0;
  train.seed = 1;
  train.validate_tokens = 0;
  train.sample_every = 0;
  train.lora_rank = recipe.lora_rank;
  train.lora_targets = "all";
  if (recipe.experts_alone) train.bias_update_rate = 0;  // all else stays as it is
  if (recipe.lora_rank > 0) {
    train.lora_alpha = recipe.lora_alpha;
    train.lora_targets = recipe.lora_targets;
    train.bias_update_rate = 0;  // the base stays as it is
  }
  std::error_code ignored;
  const bool in_file = base::fs::is_regular_file(base, ignored);
  if (in_file) train.recompute = true;  // a file is taken where memory is short
  if (recipe.longest > 0) train.sequence_length = std::min(recipe.longest, run.model.max_position_embeddings);
  train.micro_batch = in_file ? 1 : micro_batch_for(recipe.examples, train.micro_batch);
  train.global_batch = recipe.examples;
  const base::Json all = spec::to_json(run);
  return spec::resolve_document({{"model", all["model"]}, {"train", all["train"]}}, base.string(), settings);
}

void fit_steps(spec::ResolvedConfig& config, const SftRecipe& recipe, int64_t steps) {
  spec::TrainConfig& train = config.config.train;
  const auto fit = [&](const std::string& key, int64_t& member, int64_t value) {
    if (set_by_hand(config, key)) return;
    member = value;
    config.origins[key] = "the examples";
  };
  fit("train.steps", train.steps, steps);
  fit("train.warmup_steps", train.warmup_steps, std::llround(recipe.warmup_share * static_cast<double>(train.steps)));
  const int64_t epoch = std::max<int64_t>(1, train.steps / std::max<int64_t>(1, recipe.epochs));
  fit("train.validate_every", train.validate_every, epoch);
  fit("train.checkpoint_every", train.checkpoint_every, epoch);
}

}  // namespace dsmoe::apps
