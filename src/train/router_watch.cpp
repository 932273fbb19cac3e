#include "train/router_watch.h"

#include <algorithm>

#include "base/error.h"

namespace dsmoe::train {

using base::Json;

std::vector<AlarmRecord> RouterWatch::observe(int64_t step, const std::vector<LayerLoad>& layers) {
  std::vector<AlarmRecord> alarms;
  layers_.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    layers_[i].without_E.resize(layers[i].counts_E.size());
    watch_starved(step, layers[i], layers_[i], alarms);
    watch_collapse(step, layers[i], layers_[i], alarms);
  }
  return alarms;
}

void RouterWatch::watch_starved(int64_t step, const LayerLoad& load, Layer& layer,
                                std::vector<AlarmRecord>& alarms) const {
  Json starved = Json::array();
  for (size_t e = 0; e < load.counts_E.size(); ++e) {
    layer.without_E[e] = load.counts_E[e] == 0 ? layer.without_E[e] + 1 : 0;
    if (layer.without_E[e] == kPatience) starved.push_back(e);
  }
  if (starved.empty()) return;
  const std::string text = "layer " + std::to_string(load.layer) + ": no token in " + std::to_string(kPatience) +
                           " steps for " + std::to_string(starved.size()) + " of " +
                           std::to_string(load.counts_E.size()) + " experts: " + base::dump_json(starved);
  alarms.push_back({step, "starved_experts", text, {{"layer", load.layer}, {"experts", starved}}});
}

void RouterWatch::watch_collapse(int64_t step, const LayerLoad& load, Layer& layer,
                                 std::vector<AlarmRecord>& alarms) const {
  const double greatest = static_cast<double>(load.counts_E.size()) / static_cast<double>(chosen_) - 1;
  const double max_vio = load.max_vio();
  layer.collapsed = greatest > 0 && max_vio > kCollapsed * greatest ? layer.collapsed + 1 : 0;
  if (layer.collapsed != kPatience) return;
  char text[160];
  std::snprintf(text, sizeof text, "layer %lld: routing has collapsed, MaxVio %.2f of at most %.2f for %lld steps",
                static_cast<long long>(load.layer), max_vio, greatest, static_cast<long long>(kPatience));
  alarms.push_back({step, "routing_collapse", text, {{"layer", load.layer}, {"max_vio", max_vio}}});
}

Json RouterWatch::state() const {
  Json layers = Json::array();
  for (const Layer& layer : layers_) layers.push_back({{"without", layer.without_E}, {"collapsed", layer.collapsed}});
  return layers;
}

void RouterWatch::restore(const Json& state) {
  const char* where = "router_watch";
  if (!state.is_array()) base::fail_invalid(where, "must be a list");
  layers_.clear();
  for (const Json& json : state) {
    Layer layer;
    layer.collapsed = base::require_int(json, "collapsed", 0, INT64_MAX - 1, where);
    for (const Json& steps : base::require_member(json, "without", where)) {
      if (!steps.is_number_unsigned()) base::fail_invalid(where, "must hold counts", base::dump_json(steps));
      layer.without_E.push_back(steps.get<int64_t>());
    }
    layers_.push_back(std::move(layer));
  }
}

}  // namespace dsmoe::train
