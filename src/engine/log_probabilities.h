// What the model itself thought of a token: log-probabilities in nats under the plain softmax of its logits, before
// temperature, penalties or any filter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dsmoe::engine {

struct TokenLogProbability {
  int32_t token = 0;
  double value = 0;
};

struct TokenScore {
  TokenLogProbability chosen;
  std::vector<TokenLogProbability> best;  ///< the likeliest, best first; of equals the lower id first
};

/// `best`: how many of the likeliest are wanted; at most the vocabulary's are given.
TokenScore score_token(std::span<const float> logits_V, int32_t token, int64_t best);

}  // namespace dsmoe::engine
