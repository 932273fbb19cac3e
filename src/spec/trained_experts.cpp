#include "spec/trained_experts.h"

#include <set>

#include "base/error.h"
#include "spec/adapter.h"
#include "spec/counts.h"

namespace dsmoe::spec {

std::string RoutedExpert::target() const {
  return "layers." + std::to_string(layer) + ".mlp.experts." + std::to_string(expert);
}

bool names_experts(std::string_view targets) { return !targets.empty() && targets != "all"; }

std::vector<RoutedExpert> routed_experts(const ModelConfig& config, std::string_view targets, std::string_view where) {
  std::set<std::string> named;
  for (const TensorSpec& tensor : adapted_tensors(config, targets, where)) named.insert(tensor.name);
  std::vector<RoutedExpert> experts;
  size_t matrices = 0;  // of whole experts
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    for (int64_t e = 0; e < config.n_routed_experts; ++e) {
      size_t parts = 0;
      for (const char* part : {"gate_proj", "up_proj", "down_proj"}) parts += named.count(expert_name(layer, e, part));
      if (parts != 3) continue;
      experts.push_back({layer, e});
      matrices += parts;
    }
  }
  if (matrices != named.size()) {
    base::fail_invalid(where, "lora_targets must be all, or name whole routed experts, with lora_rank 0",
                       base::in_quotes(targets), "mlp.experts.5 is one of every layer, layers.2.mlp.experts.5 of one");
  }
  return experts;
}

int64_t trained_parameters(const ModelConfig& config, const TrainConfig& train) {
  if (train.lora_rank > 0) return adapter_parameters(config, train);
  if (!names_experts(train.lora_targets)) return count_parameters(config).total();
  const int64_t expert = 3 * config.hidden_size * config.moe_intermediate_size;
  return expert * std::ssize(routed_experts(config, train.lora_targets, "train"));
}

}  // namespace dsmoe::spec
