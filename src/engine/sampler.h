// From logits to the next token. Steps in llama.cpp's order: forbidden tokens go, biases, penalties, top-k, top-p,
// min-p, temperature, draw.
//
// The same seed and logits give the same tokens on every machine: candidates are ordered by logit and then by id, sums
// run in that order in double, and the draw is base::Rng's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"

namespace dsmoe::engine {

struct TokenBias {
  int32_t token = 0;
  double added = 0;
};

struct SamplingOptions {
  double temperature = 0.8;     ///< 0: greedy, the highest logit (of equals the lowest id)
  int64_t top_k = 40;           ///< keep the k best; 0: all
  double top_p = 0.95;          ///< keep the fewest that together have this probability; 1: all
  double min_p = 0.05;          ///< keep those with this share of the best one's probability; 0: all
  double repeat_penalty = 1.0;  ///< divides positive logits of recent tokens and multiplies negative ones; 1: none
  int64_t repeat_last_n = 64;   ///< how many recent tokens; -1: all
  uint64_t seed = 0;
  std::vector<int32_t> forbidden = {};  ///< ids that are never chosen; those outside the vocabulary never would be
  double presence_penalty = 0;          ///< taken from the logit of every token that the text has; 0: none
  double frequency_penalty = 0;         ///< taken from it as often as the text has the token; 0: none
  std::vector<TokenBias> bias = {};     ///< added to logits; ids outside the vocabulary count for nothing
};

/// Throws Error(kUsage) naming the option.
void validate(const SamplingOptions& options);

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  /// The next token. `history` is everything so far, prompt included; `allowed_V`, where it is not empty, has a bit for
  /// each token that may come (engine/token_rule.h). Throws Error(kNonFinite) for logits that are NaN or infinite.
  int32_t sample(std::span<const float> logits_V, std::span<const int32_t> history,
                 std::span<const uint64_t> allowed_V = {});

 private:
  struct Candidate {
    int32_t id;
    double logit;
  };
  void gather(std::span<const float> logits_V, std::span<const int32_t> history);
  void weaken_recent(std::span<const int32_t> history);
  void weaken_present(std::span<const int32_t> history);
  void keep_best();
  void keep_probable();
  int32_t draw();

  SamplingOptions options_;
  base::Rng rng_;
  std::vector<Candidate> candidates_;  // after keep_best(): best first
};

}  // namespace dsmoe::engine
