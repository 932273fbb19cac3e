// How many tokens a model has: its data's tokenizer says so, unless somebody set the number or weights that are there
// already have another.
#pragma once

#include <optional>

#include "base/file.h"
#include "corpus/dataset.h"
#include "spec/settings.h"

namespace dsmoe::train {

/// Sets model.vocab_size, and where it came from, unless a file or the command line set it (a preset's is a size to
/// plan with): to that of the model in `init` where there is one, which training begins with, or else to the data's.
void take_vocabulary(spec::ResolvedConfig& config, const corpus::TokenDataset& data, const base::fs::path& init = {});
/// The same for a run that goes on from weights of this model.
void take_vocabulary(spec::ResolvedConfig& config, const spec::ModelConfig& checkpoint);

}  // namespace dsmoe::train
