#include "engine/gate.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/rows.h"
#include "kernels/topk.h"

namespace dsmoe::engine {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

void Gate::route(int32_t token, std::span<float> affinities_E, const Intervention& intervention,
                 std::span<int32_t> ids_K, std::span<float> weights_K, Scratch& scratch) const {
  std::fill(ids_K.begin(), ids_K.end(), -1);
  std::fill(weights_K.begin(), weights_K.end(), 0.0f);
  const auto picked = ids_K.first(static_cast<size_t>(intervention.slots(config, layer)));
  if (ranks_softmax(intervention)) {
    kernels::softmax_top_k(affinities_E, picked);
  } else {
    affinities(affinities_E);
    pick(token, affinities_E, intervention, picked, scratch);
  }
  finish(affinities_E, picked, weights_K);
}

// The plain gate: the best of a softmax, with nothing added and nobody left out.
bool Gate::ranks_softmax(const Intervention& intervention) const {
  return config.scoring_func == spec::ScoringFunc::kSoftmax && table_VK.empty() && bias_E.empty() && !limits_groups() &&
         intervention.masked.empty() && intervention.top_experts_masked(config) == 0 && !intervention.forced_in(layer);
}

bool Gate::limits_groups() const {
  return config.topk_method != spec::TopkMethod::kGreedy && config.topk_group < config.n_group;
}

void Gate::affinities(std::span<float> row_E) const {
  if (row_E.empty()) return;
  if (config.scoring_func == spec::ScoringFunc::kSoftmax) {
    kernels::softmax(row_E, static_cast<int64_t>(row_E.size()), row_E);
    return;
  }
  for (float& x : row_E) x = -x;
  kernels::exponential(row_E, row_E);
  for (float& x : row_E) x = 1 / (1 + x);
}

void Gate::pick(int32_t token, std::span<const float> affinities_E, const Intervention& intervention,
                std::span<int32_t> picked, Scratch& scratch) const {
  if (const auto* forced = intervention.forced_in(layer)) {
    std::copy(forced->begin(), forced->end(), picked.begin());
  } else if (!table_VK.empty()) {
    const int64_t row = token * config.num_experts_per_tok;
    for (size_t k = 0; k < picked.size(); ++k) {
      const int32_t expert = table_VK[static_cast<size_t>(row) + k];
      picked[k] = intervention.masks(layer, expert) ? -1 : expert;
    }
  } else {
    selection_scores(affinities_E, intervention, scratch);
    kernels::top_k(scratch.scores, picked);
    for (int32_t& id : picked) {
      if (scratch.scores[static_cast<size_t>(id)] == kNever) id = -1;  // groups and masks together left too few
    }
  }
}

// What top-K ranks: affinities, with the balance bias where there is one, and minus infinity for who may not be picked.
void Gate::selection_scores(std::span<const float> affinities_E, const Intervention& intervention,
                            Scratch& scratch) const {
  auto& scores = scratch.scores;
  scores.assign(affinities_E.begin(), affinities_E.end());
  for (size_t e = 0; e < bias_E.size(); ++e) scores[e] += bias_E[e];
  if (limits_groups()) limit_to_groups(scores, scratch);
  if (const int64_t top = intervention.top_experts_masked(config); top > 0) {
    scratch.order.resize(static_cast<size_t>(top));
    kernels::top_k(affinities_E, scratch.order);
    for (const int32_t e : scratch.order) scores[static_cast<size_t>(e)] = kNever;
  }
  if (intervention.masked.empty()) return;
  for (size_t e = 0; e < scores.size(); ++e) {
    if (intervention.masks(layer, static_cast<int32_t>(e))) scores[e] = kNever;
  }
}

// DeepSeek-V2 ranks groups by their best affinity, DeepSeek-V3 by the sum of their two best biased ones.
void Gate::limit_to_groups(std::span<float> scores_E, Scratch& scratch) const {
  const size_t groups = static_cast<size_t>(config.n_group), size = scores_E.size() / groups;
  const size_t counted = config.topk_method == spec::TopkMethod::kNoauxTc ? std::min<size_t>(2, size) : 1;
  auto& group_scores = scratch.group_scores;
  group_scores.assign(groups, 0.0f);
  for (size_t g = 0; g < groups; ++g) {
    const auto members = scores_E.subspan(g * size, size);
    scratch.order.resize(counted);
    kernels::top_k(members, scratch.order);
    for (const int32_t best : scratch.order) group_scores[g] += members[static_cast<size_t>(best)];
  }
  scratch.order.resize(static_cast<size_t>(config.topk_group));
  kernels::top_k(group_scores, scratch.order);
  for (size_t g = 0; g < groups; ++g) {
    if (std::find(scratch.order.begin(), scratch.order.end(), static_cast<int32_t>(g)) != scratch.order.end()) continue;
    const auto members = scores_E.subspan(g * size, size);
    std::fill(members.begin(), members.end(), kNever);
  }
}

// Gates come from the affinities, never from biased scores; spec::ModelConfig says who is normalised and scaled.
void Gate::finish(std::span<const float> affinities_E, std::span<const int32_t> ids_K,
                  std::span<float> weights_K) const {
  float sum = 0;
  for (size_t k = 0; k < ids_K.size(); ++k) {
    if (ids_K[k] < 0) continue;
    weights_K[k] = affinities_E.empty() ? 1.0f : affinities_E[static_cast<size_t>(ids_K[k])];
    sum += weights_K[k];
  }
  if (affinities_E.empty()) return;
  const float scale = config.scales_gates() ? static_cast<float>(config.routed_scaling_factor) : 1.0f;
  const float denominator = config.normalizes_gates() ? sum + static_cast<float>(config.gate_epsilon()) : 1.0f;
  for (float& weight : weights_K) weight = weight / denominator * scale;
}

}  // namespace dsmoe::engine
