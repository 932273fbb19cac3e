// Generation: prompt in, text out as it comes. Text is whole characters, and never shows any part of a stop string.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::engine {

struct GenerateOptions {
  int64_t max_tokens = 128;  ///< -1: until the model's positions are used up
  SamplingOptions sampling;
  std::vector<std::string> stop;  ///< text that ends generation and is not shown; needs a tokenizer
  std::vector<int32_t> ends;      ///< tokens that end an answer beside the model's eos
  bool ignore_eos = false;
};

enum class Finish {
  kEos,          ///< the model ended the document
  kStop,         ///< a stop string came
  kLength,       ///< max_tokens
  kContext,      ///< no position is left
  kInterrupted,  ///< on_text said so
};
std::string_view finish_name(Finish finish);

struct Generation {
  std::vector<int32_t> tokens;  ///< sampled ones, without eos; with a stop string, up to the token that completed it
  std::string text;             ///< what was shown, in one piece; empty without a tokenizer
  Finish finish = Finish::kLength;
};

/// Called with every token and the text it lets be shown (perhaps none). False ends the generation.
using OnToken = std::function<bool(int32_t token, std::string_view text)>;

/// Appends the prompt to the session and generates. `tokenizer` may be null: then there is no text. After the call the
/// session holds prompt and tokens, all but the last one sampled.
Generation generate(Session& session, const spec::ModelConfig& config, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const tokenizer::Tokenizer* tokenizer, const OnToken& on_token);

}  // namespace dsmoe::engine
