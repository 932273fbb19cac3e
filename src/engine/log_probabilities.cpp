#include "engine/log_probabilities.h"

#include <algorithm>
#include <numeric>

#include "kernels/rows.h"

namespace dsmoe::engine {

TokenScore score_token(std::span<const float> logits_V, int32_t token, int64_t best) {
  const double normaliser = kernels::log_sum_exp(logits_V);
  const auto of = [&](int32_t id) {
    return TokenLogProbability{id, static_cast<double>(logits_V[static_cast<size_t>(id)]) - normaliser};
  };
  TokenScore score{of(token), {}};
  if (best <= 0) return score;
  std::vector<int32_t> ids(logits_V.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits_V[static_cast<size_t>(a)], y = logits_V[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto end = ids.begin() + std::min(best, std::ssize(ids));
  std::partial_sort(ids.begin(), end, ids.end(), likelier);
  std::transform(ids.begin(), end, std::back_inserter(score.best), of);
  return score;
}

}  // namespace dsmoe::engine
