// A few words from the model in training, so that a person sees it learn. The plain way: the whole text again for every
// token, no cache. Generating for use is the engine's.
#pragma once

#include <string>
#include <vector>

#include "comm/group.h"
#include "model/transformer.h"
#include "spec/train_config.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::train {

struct SampleOptions {
  int64_t tokens = 64;
  double temperature = 0.8;
  uint64_t seed = 0;
};

SampleOptions sample_options(const spec::TrainConfig& train);

/// Ids that follow the beginning of a document; the same for the same weights and seed. Every rank of the group gets
/// them, and all of them take part: an expert may be with any.
std::vector<int32_t> sample_ids(const model::Transformer& model, const SampleOptions& options,
                                const comm::Group& group);
/// The same as text, valid UTF-8.
std::string sample_text(const model::Transformer& model, const tokenizer::Tokenizer& tokenizer,
                        const SampleOptions& options, const comm::Group& group);

}  // namespace dsmoe::train
