#include "serve/intervention_field.h"

#include <charconv>
#include <string>

#include "base/error.h"
#include "serve/api_error.h"

namespace dsmoe::serve {
namespace {

int64_t layer_of(const std::string& key, const std::string& name) {
  int64_t layer = 0;
  if (key == "all") return engine::Intervention::kEveryLayer;
  const auto [end, fault] = std::from_chars(key.data(), key.data() + key.size(), layer);
  if (fault != std::errc() || end != key.data() + key.size() || layer < 0) {
    throw bad_request(name, name + " must be by layer, a number or \"all\": " + base::in_quotes(key));
  }
  return layer;
}

// Calls take(layer, experts) for each member of the object `key`.
template <class Take>
void for_each_layer(const Fields& fields, std::string_view key, int64_t experts, Take take) {
  const base::Json* found = fields.find(key);
  if (found == nullptr) return;
  const std::string name = fields.name(key);
  const Fields layers(*found, name);
  for (const auto& [layer, list] : found->items()) {
    if (!list.is_array()) layers.refuse(layer, "must be a list of experts");
    take(layer_of(layer, name), token_ids(list, experts, name));
  }
}

}  // namespace

engine::Intervention read_intervention(const Fields& body, const spec::ModelConfig& config) {
  engine::Intervention intervention;
  const base::Json* found = body.find("intervention");
  if (found == nullptr) return intervention;
  const Fields fields(*found, "intervention");
  for (const auto& [key, value] : found->items()) {
    if (key != "masked" && key != "forced" && key != "experts_per_tok" && key != "shared") {
      fields.refuse(key, "is not known; masked, forced, experts_per_tok and shared are");
    }
  }
  for_each_layer(fields, "masked", config.n_routed_experts, [&](int64_t layer, const std::vector<int32_t>& experts) {
    intervention.masked[layer] = {experts.begin(), experts.end()};
  });
  for_each_layer(fields, "forced", config.n_routed_experts, [&](int64_t layer, const std::vector<int32_t>& experts) {
    if (std::ssize(experts) > config.num_experts_per_tok) {
      fields.refuse("forced", "may be at most the model's " + std::to_string(config.num_experts_per_tok) + " a layer");
    }
    intervention.forced[layer] = experts;
  });
  intervention.experts_per_tok = fields.integer("experts_per_tok", 1, config.num_experts_per_tok, 0);
  intervention.drop_shared = !fields.boolean("shared", true);
  try {
    intervention.validate(config);
  } catch (const base::Error& error) {
    throw bad_request("intervention", error.what());
  }
  return intervention;
}

}  // namespace dsmoe::serve
