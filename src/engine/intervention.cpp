#include "engine/intervention.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace dsmoe::engine {
namespace {

constexpr std::string_view kPart = "intervention";

void check_layer(const spec::ModelConfig& config, int64_t layer) {
  const bool known = layer == Intervention::kEveryLayer || (layer >= 0 && layer < config.num_hidden_layers);
  if (!known || (layer >= 0 && !config.is_moe_layer(layer))) {
    base::fail_invalid(kPart, "there is no such mixture layer", std::to_string(layer));
  }
}

void check_expert(const spec::ModelConfig& config, int32_t expert) {
  if (expert < 0 || expert >= config.n_routed_experts) {
    base::fail_invalid(kPart, "expert ids must be from 0 to " + std::to_string(config.n_routed_experts - 1),
                       std::to_string(expert));
  }
}

// Union over a layer and every layer: no token may be left with fewer experts than it visits.
void check_enough_left(const Intervention& intervention, const spec::ModelConfig& config) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer) || intervention.forced_in(layer)) continue;
    int64_t gone = intervention.top_experts_masked(config);
    for (int32_t e = 0; e < config.n_routed_experts; ++e) gone += intervention.masks(layer, e);
    if (config.n_routed_experts - gone < intervention.slots(config, layer)) {
      base::fail_invalid(kPart, "masks must leave as many experts as a token visits",
                         std::to_string(gone) + " of " + std::to_string(config.n_routed_experts) + " masked, " +
                             std::to_string(intervention.slots(config, layer)) + " visited",
                         "mask fewer or lower experts_per_tok");
    }
  }
}

}  // namespace

void Intervention::validate(const spec::ModelConfig& config) const {
  if (*this == Intervention{}) return;
  if (!config.is_moe()) base::fail_invalid(kPart, "a dense model has no experts to change");
  for (const auto& [layer, experts] : masked) {
    check_layer(config, layer);
    for (const int32_t expert : experts) check_expert(config, expert);
  }
  for (const auto& [layer, experts] : forced) {
    check_layer(config, layer);
    for (const int32_t expert : experts) check_expert(config, expert);
    if (std::set<int32_t>(experts.begin(), experts.end()).size() != experts.size()) {
      base::fail_invalid(kPart, "a forced expert may be named once");
    }
  }
  if (!(masked_top_fraction >= 0 && masked_top_fraction < 1)) {
    base::fail_invalid(kPart, "masked_top_fraction must be from 0 to below 1", std::to_string(masked_top_fraction));
  }
  const bool hash = !config.has_router_weight();
  if (hash && masked_top_fraction > 0) {
    base::fail_invalid(kPart, "a hash table has no affinities to rank experts by", {}, "mask experts by id");
  }
  const int64_t most = hash ? config.num_experts_per_tok : config.n_routed_experts;
  if (experts_per_tok < 0 || experts_per_tok > most) {
    base::fail_invalid(kPart, "experts_per_tok must be from 1 to " + std::to_string(most),
                       std::to_string(experts_per_tok));
  }
  if (!hash) check_enough_left(*this, config);
}

bool Intervention::masks(int64_t layer, int32_t expert) const {
  for (const int64_t key : {layer, kEveryLayer}) {
    const auto found = masked.find(key);
    if (found != masked.end() && found->second.contains(expert)) return true;
  }
  return false;
}

const std::vector<int32_t>* Intervention::forced_in(int64_t layer) const {
  for (const int64_t key : {layer, kEveryLayer}) {
    const auto found = forced.find(key);
    if (found != forced.end()) return &found->second;
  }
  return nullptr;
}

int64_t Intervention::top_experts_masked(const spec::ModelConfig& config) const {
  return std::llround(masked_top_fraction * static_cast<double>(config.n_routed_experts));
}

int64_t Intervention::slots(const spec::ModelConfig& config, int64_t layer) const {
  if (const auto* experts = forced_in(layer)) return static_cast<int64_t>(experts->size());
  return experts_per_tok > 0 ? experts_per_tok : config.num_experts_per_tok;
}

}  // namespace dsmoe::engine
