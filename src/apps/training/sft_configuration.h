// What `dsmoe sft` trains with before anybody sets anything: the base model's own run, with another rate and schedule.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "spec/settings.h"

namespace dsmoe::apps {

/// Supervised fine-tuning in a few numbers.
struct SftRecipe {
  int64_t epochs, examples;  ///< passes over all examples; examples a step
  double rate;               ///< the largest learning rate; below 0: that part of the base run's
  spec::Schedule schedule;
  double warmup_share;    ///< of the steps
  int64_t longest;        ///< tokens of one example; 0: as long as the base was trained on
  int64_t lora_rank = 0;  ///< adapters in place of the weights (train.lora_rank); 0: the weights
  double lora_alpha = 16;
  std::string lora_targets = {};
  bool experts_alone = false;  ///< everything but chosen experts stays
};
/// "default" suits small models and data; "paper" is DeepSeekMoE's (section 6.1).
const SftRecipe& sft_recipe(const std::string& name);

/// The configuration of a run from the model `base`, a folder or GGUF file: its run.toml where it has one, the recipe,
/// then `settings` (section.key=value). Steps and what is counted in them are fitted by fit_steps.
spec::ResolvedConfig sft_configuration(const base::fs::path& base, const SftRecipe& recipe,
                                       const std::vector<std::string>& settings);

/// Whether `key` was among the settings.
bool set_by_hand(const spec::ResolvedConfig& config, const std::string& key);

/// Sets what depends on how many steps an epoch has, wherever nobody has set it: steps, warm-up, and validation and
/// checkpoint once an epoch.
void fit_steps(spec::ResolvedConfig& config, const SftRecipe& recipe, int64_t steps);

}  // namespace dsmoe::apps
