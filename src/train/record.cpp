#include "train/record.h"

#include <algorithm>
#include <numeric>

namespace dsmoe::train {

using base::Json;

namespace {

double mean_count(const std::vector<int64_t>& counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0})) /
         static_cast<double>(std::max<size_t>(1, counts.size()));
}

Json score_json(const DomainScore& score) {
  return {{"nats_per_token", score.nats_per_token},
          {"bits_per_byte", score.bits_per_byte},
          {"tokens", score.tokens},
          {"bytes", score.bytes}};
}

}  // namespace

double LayerLoad::max_vio() const {
  const double mean = mean_count(counts_E);
  return mean > 0 ? static_cast<double>(*std::max_element(counts_E.begin(), counts_E.end())) / mean - 1 : 0;
}

double LayerLoad::least_load() const {
  const double mean = mean_count(counts_E);
  return mean > 0 ? static_cast<double>(*std::min_element(counts_E.begin(), counts_E.end())) / mean : 0;
}

double StepRecord::max_vio() const {
  double sum = 0;
  for (const LayerLoad& layer : layers) sum += layer.max_vio();
  return layers.empty() ? 0 : sum / static_cast<double>(layers.size());
}

int64_t StepRecord::dropped() const {
  int64_t sum = 0;
  for (const LayerLoad& layer : layers) sum += layer.dropped;
  return sum;
}

Json RunStart::to_json() const {
  return {{"type", "start"},
          {"step", step},
          {"steps", steps},
          {"resumed_from", resumed_from},
          {"output", output},
          {"parameters", parameters},
          {"tokens_per_step", tokens_per_step}};
}

Json StepRecord::to_json() const {
  Json json = {{"type", "step"},
               {"step", step},
               {"tokens", tokens},
               {"loss", loss},
               {"balance_loss", balance_loss},
               {"lr", lr},
               {"grad_norm", grad_norm},
               {"tokens_per_s", tokens_per_s},
               {"max_vio", max_vio()},
               {"dropped", dropped()}};
  Json& load = json["layers"] = Json::array();
  for (const LayerLoad& layer : layers) {
    load.push_back({{"layer", layer.layer}, {"max_vio", layer.max_vio()}, {"least_load", layer.least_load()}});
  }
  return json;
}

Json ValidationRecord::to_json() const {
  Json json = {{"type", "validation"}, {"step", step}};
  json.update(score_json(all));
  json["max_vio"] = max_vio;
  json["seconds"] = seconds;
  Json& by_domain = json["domains"] = Json::object();
  for (const DomainScore& score : domains) by_domain[score.domain] = score_json(score);
  return json;
}

Json AlarmRecord::to_json() const {
  Json json = {{"type", "alarm"}, {"step", step}, {"alarm", alarm}, {"text", text}};
  json.update(details);
  return json;
}

Json CheckpointRecord::to_json() const {
  return {{"type", "checkpoint"}, {"step", step}, {"path", path}, {"bytes", bytes}, {"seconds", seconds}};
}

Json SampleRecord::to_json() const { return {{"type", "sample"}, {"step", step}, {"text", text}}; }

}  // namespace dsmoe::train
