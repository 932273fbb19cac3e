// Alarms about routing: an expert that gets no tokens for long, a layer whose tokens all go the same way.
//
// Checks each step's loads. An alarm is raised once when its condition has held for kPatience steps, and again only
// after it has passed in between. Its memory travels in checkpoints, so a cut run raises the alarms of an uncut one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "train/record.h"

namespace dsmoe::train {

class RouterWatch {
 public:
  static constexpr int64_t kPatience = 100;
  /// Collapse: MaxVio beyond this part of the greatest possible one, E / K - 1 (all tokens to the same K experts).
  static constexpr double kCollapsed = 0.5;

  explicit RouterWatch(int64_t num_experts_per_tok) : chosen_(num_experts_per_tok) {}

  /// At most one alarm of each kind per layer.
  std::vector<AlarmRecord> observe(int64_t step, const std::vector<LayerLoad>& layers);

  base::Json state() const;
  /// Takes what state() gave. Throws Error(kInvalid) for anything else.
  void restore(const base::Json& state);

 private:
  struct Layer {
    std::vector<int64_t> without_E;  // steps in a row without a token
    int64_t collapsed = 0;           // steps in a row beyond the threshold
  };
  void watch_starved(int64_t step, const LayerLoad& load, Layer& layer, std::vector<AlarmRecord>& alarms) const;
  void watch_collapse(int64_t step, const LayerLoad& load, Layer& layer, std::vector<AlarmRecord>& alarms) const;

  int64_t chosen_;
  std::vector<Layer> layers_;
};

}  // namespace dsmoe::train
