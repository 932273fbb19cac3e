// One sequence led from prompt to prompt: what the next one shares with what was read last is not read again. So the
// shots before every question are computed once for a task, and a question once for all its choices. Whatever is
// shared, scores are the bits that each text gives alone, on any number of threads.
#pragma once

#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"
#include "eval/prompt.h"

namespace dsmoe::eval {

struct ContinuationScore {
  double log_likelihood = 0;  ///< in nats, summed over the continuation's tokens
  bool greedy = true;         ///< whether each of them was the likeliest
};

class PromptSession {
 public:
  explicit PromptSession(engine::Engine& engine) : engine_(engine), session_(engine) {}

  ContinuationScore score(const ContinuationIds& text);
  /// Greedy continuation of a prompt, as options say.
  engine::Generation generate(std::span<const int32_t> prompt, engine::GenerateOptions options,
                              const tokenizer::Tokenizer& tokenizer);
  /// Tokens computed so far, generated ones left out.
  int64_t computed() const { return computed_; }

 private:
  size_t keep_shared(std::span<const int32_t> ids);
  ContinuationScore read_on(std::span<const int32_t> ids);

  engine::Engine& engine_;
  engine::Session session_;
  std::vector<int32_t> held_;  // what the session's cache holds
  int64_t computed_ = 0;
};

}  // namespace dsmoe::eval
