#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "engine/token_rule.h"

namespace dsmoe::engine {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void require(bool holds, const char* rule, double found) {
  if (!holds) base::fail(base::ErrorKind::kUsage, "sampling", rule, std::to_string(found));
}

}  // namespace

void validate(const SamplingOptions& o) {
  require(o.temperature >= 0 && std::isfinite(o.temperature), "temperature must be 0 (greedy) or more", o.temperature);
  require(o.top_k >= 0, "top-k must be 0 (all) or more", static_cast<double>(o.top_k));
  require(o.top_p > 0 && o.top_p <= 1, "top-p must be above 0 and at most 1", o.top_p);
  require(o.min_p >= 0 && o.min_p <= 1, "min-p must be from 0 to 1", o.min_p);
  require(o.repeat_penalty > 0 && std::isfinite(o.repeat_penalty), "repeat-penalty must be above 0", o.repeat_penalty);
  require(std::isfinite(o.presence_penalty), "presence-penalty must be a finite number", o.presence_penalty);
  require(std::isfinite(o.frequency_penalty), "frequency-penalty must be a finite number", o.frequency_penalty);
  for (const TokenBias& bias : o.bias) require(std::isfinite(bias.added), "a bias must be finite", bias.added);
  require(o.repeat_last_n >= -1, "repeat-last-n must be -1 (all) or more", static_cast<double>(o.repeat_last_n));
}

Sampler::Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) { validate(options); }

int32_t Sampler::sample(std::span<const float> logits_V, std::span<const int32_t> history,
                        std::span<const uint64_t> allowed_V) {
  gather(logits_V, history);
  if (!allowed_V.empty()) {
    std::erase_if(candidates_, [&](const Candidate& c) { return !is_allowed(allowed_V, c.id); });
  }
  keep_best();
  if (options_.temperature == 0) return candidates_.front().id;
  keep_probable();
  return draw();
}

void Sampler::gather(std::span<const float> logits_V, std::span<const int32_t> history) {
  candidates_.clear();
  for (size_t i = 0; i < logits_V.size(); ++i) {
    if (!std::isfinite(logits_V[i])) {
      base::fail(base::ErrorKind::kNonFinite, "sampling", "the model's logits are not finite",
                 "token " + std::to_string(i), "its weights are damaged or its training has diverged");
    }
    candidates_.push_back({static_cast<int32_t>(i), logits_V[i]});
  }
  for (const int32_t id : options_.forbidden) {
    if (id >= 0 && static_cast<size_t>(id) < candidates_.size())
      candidates_[static_cast<size_t>(id)].logit = -kInfinity;
  }
  for (const auto& [id, added] : options_.bias) {
    if (id >= 0 && static_cast<size_t>(id) < candidates_.size()) candidates_[static_cast<size_t>(id)].logit += added;
  }
  weaken_recent(history);
  weaken_present(history);
}

void Sampler::weaken_recent(std::span<const int32_t> history) {
  if (options_.repeat_penalty == 1 || options_.repeat_last_n == 0) return;
  const size_t window = options_.repeat_last_n < 0
                            ? history.size()
                            : std::min(history.size(), static_cast<size_t>(options_.repeat_last_n));
  std::unordered_set<int32_t> recent;
  for (const int32_t id : history.last(window)) {
    if (!recent.insert(id).second) continue;  // once, however often it came
    double& logit = candidates_[static_cast<size_t>(id)].logit;
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
  }
}

void Sampler::weaken_present(std::span<const int32_t> history) {
  if (options_.presence_penalty == 0 && options_.frequency_penalty == 0) return;
  std::unordered_map<int32_t, int64_t> counts;
  for (const int32_t id : history) ++counts[id];
  for (const auto& [id, count] : counts) {
    candidates_[static_cast<size_t>(id)].logit -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<double>(count);
  }
}

// Sorts the candidates, or as many as top-k wants (greedy wants one), best first.
void Sampler::keep_best() {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  size_t count = candidates_.size();
  if (options_.top_k > 0) count = std::min(count, static_cast<size_t>(options_.top_k));
  if (options_.temperature == 0) count = 1;
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(count), candidates_.end(), better);
  candidates_.resize(count);
  while (!candidates_.empty() && candidates_.back().logit == -kInfinity) candidates_.pop_back();  // forbidden
  if (candidates_.empty()) base::fail(base::ErrorKind::kUsage, "sampling", "some token must be allowed");
}

// top-p and min-p, both at temperature 1; the best candidate always stays.
void Sampler::keep_probable() {
  const double top = candidates_.front().logit;
  double total = 0;
  for (const Candidate& c : candidates_) total += std::exp(c.logit - top);
  size_t kept = 0;
  double sum = 0;
  while (kept < candidates_.size() && (kept == 0 || sum < options_.top_p * total)) {
    const double relative = std::exp(candidates_[kept].logit - top);  // of the best one's probability
    if (relative < options_.min_p) break;
    sum += relative;
    ++kept;
  }
  candidates_.resize(std::max<size_t>(1, kept));
}

int32_t Sampler::draw() {
  const double top = candidates_.front().logit;
  double total = 0;
  for (const Candidate& c : candidates_) total += std::exp((c.logit - top) / options_.temperature);
  double left = rng_.uniform() * total;
  for (const Candidate& c : candidates_) {
    left -= std::exp((c.logit - top) / options_.temperature);
    if (left < 0) return c.id;
  }
  return candidates_.back().id;  // rounding left a crumb
}

}  // namespace dsmoe::engine
