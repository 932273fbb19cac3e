// A text going on, one row of logits at a time: what is chosen, what of it may be shown, and where it ends.
//
// It neither runs a model nor waits for one, so one caller may lead a single text and another many at once. Text is
// whole characters, and never shows any part of a stop string.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/log_probabilities.h"
#include "engine/sampler.h"
#include "engine/stop_filter.h"
#include "engine/token_rule.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8_stream.h"

namespace dsmoe::engine {

struct GenerateOptions {
  int64_t max_tokens = 128;  ///< -1: until the model's positions are used up
  SamplingOptions sampling;
  std::vector<std::string> stop;  ///< text that ends generation and is not shown; needs a tokenizer
  std::vector<int32_t> ends;      ///< tokens that end generation and are not shown
  bool ignore_eos = false;        ///< `ends` are never chosen
  int64_t scores = -1;            ///< each token's log-probability and this many of the likeliest; -1: neither
  MakeTokenRule rule = {};        ///< what the text must be; none: anything. Where it has to end, it ends as by an end
};

enum class Finish {
  kEos,          ///< one of the ends
  kStop,         ///< a stop string came
  kLength,       ///< max_tokens
  kContext,      ///< no position is left
  kInterrupted,  ///< whoever listened said so
};
std::string_view finish_name(Finish finish);

struct Step {
  int32_t token = 0;                ///< what was chosen; with Finish::kEos the end, which is no part of the text
  std::string text;                 ///< what may be shown now, perhaps nothing; at the end with all that was kept back
  std::optional<TokenScore> score;  ///< where GenerateOptions::scores asks for it
};

class Continuation {
 public:
  /// `prompt` is everything that stands before, and `positions` how many the model has in all. `tokenizer` is kept by
  /// reference and may be null: then there is no text. Throws Error(kUsage) for options that cannot be.
  Continuation(const GenerateOptions& options, std::span<const int32_t> prompt, int64_t positions,
               const tokenizer::Tokenizer* tokenizer);

  /// Goes on by one token, from the logits after all there is so far. Not once it has finished. Throws
  /// Error(kNonFinite) for logits that are NaN or infinite.
  Step accept(std::span<const float> logits_V);
  /// Why there is no more; none: it goes on, from the logits after its last token.
  std::optional<Finish> finish() const { return finish_; }
  /// The tokens of the text: those chosen, without the end; with a stop string, up to the one that completed it.
  std::span<const int32_t> tokens() const { return std::span(history_).subspan(prompt_); }
  /// Prompt and tokens.
  std::span<const int32_t> history() const { return history_; }

 private:
  std::string shown(int32_t token);
  std::span<const uint64_t> allowed();

  GenerateOptions options_;
  int64_t positions_;
  const tokenizer::Tokenizer* tokenizer_;
  Sampler sampler_;
  StopFilter stops_;
  std::unique_ptr<TokenRule> rule_;
  std::vector<uint64_t> with_ends_;  // what the rule allows, and the ends
  tokenizer::Utf8Stream characters_;
  std::vector<int32_t> history_;
  size_t prompt_;
  std::optional<Finish> finish_;
};

}  // namespace dsmoe::engine
