// From the arguments of a command to the model it runs.
#pragma once

#include "apps/model_arguments.h"
#include "loading/model.h"

namespace dsmoe::apps {

/// Opens the model that the arguments name; with -q its weights are quantised in memory, under a progress bar.
loading::Model open_model(const ModelArguments& arguments);

/// The check for damage that it begins with, for commands that read a model without running it.
void verify_model(const std::string& path, int threads);
/// A prompt's ids, with a word on standard error where it spells the bos that the tokenizer puts before it.
std::vector<int32_t> text_ids(loading::Model& model, std::string_view text);

}  // namespace dsmoe::apps
