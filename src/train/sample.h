// A few words from the model in training, so that a person sees it learn. The plain way: the whole text again for every
// token, no cache. Generating for use is the engine's.
#pragma once

#include <string>

#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::train {

struct SampleOptions {
  int64_t tokens = 64;
  double temperature = 0.8;
  uint64_t seed = 0;
};

/// Text that follows the beginning of a document; the same for the same weights and seed. Valid UTF-8.
std::string sample_text(const model::Transformer& model, const tokenizer::Tokenizer& tokenizer,
                        const SampleOptions& options);

}  // namespace dsmoe::train
