#include "train/layer_loads.h"

#include "base/error.h"

namespace dsmoe::train {

std::vector<LayerLoad> empty_loads(const spec::ModelConfig& config) {
  std::vector<LayerLoad> loads;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    loads.push_back({layer, std::vector<int64_t>(static_cast<size_t>(config.n_routed_experts)), 0});
  }
  return loads;
}

void add_loads(const std::vector<moe::Routing>& routings, std::vector<LayerLoad>& loads) {
  DSMOE_CHECK(routings.size() == loads.size(), "one routing per MoE layer");
  for (size_t i = 0; i < loads.size(); ++i) {
    const torch::Tensor counts_E = routings[i].counts_E(static_cast<int64_t>(loads[i].counts_E.size())).contiguous();
    const int64_t* counts = counts_E.data_ptr<int64_t>();
    for (size_t e = 0; e < loads[i].counts_E.size(); ++e) loads[i].counts_E[e] += counts[e];
    loads[i].dropped += routings[i].dropped();
  }
}

}  // namespace dsmoe::train
