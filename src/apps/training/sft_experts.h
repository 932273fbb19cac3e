// Which experts `dsmoe sft --esft` trains: chosen once, by what the examples use, and kept with the run.
#pragma once

#include "apps/sft_arguments.h"
#include "base/json.h"
#include "corpus/examples.h"
#include "spec/settings.h"
#include "train/loop.h"

namespace dsmoe::apps {

/// Throws Error where the base model has no experts to choose among, or where `config` names some already.
void require_choice(const spec::ResolvedConfig& config);

/// Sets train.lora_targets: the experts that train or, with a rank, have adapters. A run that goes on takes the choice
/// that it began with. Returns what is to be kept in data.json as `experts`: score, share, tokens, experts (chosen,
/// of), parameters (trained, of), targets, layers (train::layers_json).
base::Json choose_experts(const SftArguments& arguments, const corpus::ExampleSet& examples,
                          const train::RunOptions& options, spec::ResolvedConfig& config);

/// The same in one sentence.
std::string choice_sentence(const base::Json& choice);

}  // namespace dsmoe::apps
