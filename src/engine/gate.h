// Which experts a token visits, and with what weight: every gate of the model family, one row at a time.
//
// All of it is float32 whatever the weights are. Paper sections 1.1 (softmax, top-K), 5.2 (sigmoid, bias, groups), 5.3
// (groups by maximum), 6.2 (GShard renormalised), 6.4 (Hash).
#pragma once

#include <span>

#include "engine/intervention.h"
#include "spec/model_config.h"

namespace dsmoe::engine {

/// One layer's gate. Borrowed memory.
struct Gate {
  const spec::ModelConfig& config;
  int64_t layer = 0;
  std::span<const float> bias_E;      ///< empty without
  std::span<const int32_t> table_VK;  ///< hash table, or empty

  /// `affinities_E` holds the router's logits and becomes the affinities (empty for a hash table). Fills ids and
  /// weights, best first, then -1 and 0 where a mask leaves fewer experts than slots. Needs no other memory than
  /// `scratch`, which it grows.
  struct Scratch {
    std::vector<float> scores, group_scores;
    std::vector<int32_t> order;
  };
  void route(int32_t token, std::span<float> affinities_E, const Intervention& intervention, std::span<int32_t> ids_K,
             std::span<float> weights_K, Scratch& scratch) const;

 private:
  bool ranks_softmax(const Intervention& intervention) const;
  bool limits_groups() const;
  void pick(int32_t token, std::span<const float> affinities_E, const Intervention& intervention,
            std::span<int32_t> picked, Scratch& scratch) const;
  void affinities(std::span<float> row_E) const;
  void selection_scores(std::span<const float> affinities_E, const Intervention& intervention, Scratch& scratch) const;
  void limit_to_groups(std::span<float> scores_E, Scratch& scratch) const;
  void finish(std::span<const float> affinities_E, std::span<const int32_t> ids_K, std::span<float> weights_K) const;
};

}  // namespace dsmoe::engine
