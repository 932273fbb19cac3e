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
  std::vector<int32_t> ends;      ///< tokens that end generation and are not shown
  bool ignore_eos = false;        ///< `ends` are never chosen
};

enum class Finish {
  kEos,          ///< one of the ends
  kStop,         ///< a stop string came
  kLength,       ///< max_tokens
  kContext,      ///< no position is left
  kInterrupted,  ///< on_text said so
};
std::string_view finish_name(Finish finish);

struct Generation {
  std::vector<int32_t>
      tokens;        ///< sampled ones, without the end; with a stop string, up to the token that completed it
  std::string text;  ///< what was shown, in one piece; empty without a tokenizer
  Finish finish = Finish::kLength;
};

/// Called with every token and the text it lets be shown (perhaps none). False ends the generation.
using OnToken = std::function<bool(int32_t token, std::string_view text)>;

/// Generates after `prompt`, which is everything from the beginning on: what the session holds already are its first
/// tokens and are not computed again, at least one comes after them. `tokenizer` may be null: then there is no text.
/// After the call the session holds prompt and tokens, all but the last one sampled.
Generation generate(Session& session, const spec::ModelConfig& config, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const tokenizer::Tokenizer* tokenizer, const OnToken& on_token);

}  // namespace dsmoe::engine
