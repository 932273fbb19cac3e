// Generation: prompt in, text out as it comes, one text on a session of its own.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/continuation.h"
#include "engine/engine.h"

namespace dsmoe::engine {

struct Generation {
  std::vector<int32_t>
      tokens;        ///< sampled ones, without the end; with a stop string, up to the token that completed it
  std::string text;  ///< what was shown, in one piece; empty without a tokenizer
  Finish finish = Finish::kLength;
};

/// Called with every token and the text it lets be shown (perhaps none), and once more with the last token where an end
/// lets more be shown. False ends the generation.
using OnToken = std::function<bool(int32_t token, std::string_view text)>;

/// Generates after `prompt`, which is everything from the beginning on: what the session holds already are its first
/// tokens and are not computed again, at least one comes after them. `tokenizer` may be null: then there is no text.
/// After the call the session holds prompt and tokens, all but the last one sampled.
Generation generate(Session& session, const spec::ModelConfig& config, std::span<const int32_t> prompt,
                    const GenerateOptions& options, const tokenizer::Tokenizer* tokenizer, const OnToken& on_token);

}  // namespace dsmoe::engine
