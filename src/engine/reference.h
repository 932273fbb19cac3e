// The forward pass as its formulae say it: one token at a time, no cache, no batch, no threads, everything in double.
//
// It is the oracle of the fast engine and the place to read what a DeepSeekMoE model computes. It shares the weights
// and the interventions with the engine, and no arithmetic. Costs grow with the square of the length: for tests.
#pragma once

#include <span>
#include <vector>

#include "engine/intervention.h"
#include "engine/weights.h"

namespace dsmoe::engine {

struct Reference {
  std::vector<double> logits_TV;
  /// Per token, the smallest difference that decided a selection in any layer: between the K-th and the next score,
  /// between groups, between experts masked and not. A float32 pass may rightly pick otherwise where this is tiny.
  std::vector<double> margins_T;
  /// Per layer (empty where dense) and token: experts picked, best first, their gates, and (of a whole pass) the
  /// outputs that gates multiply, [D] each.
  struct Choice {
    std::vector<int32_t> experts;
    std::vector<double> gates;
    std::vector<std::vector<double>> outputs;
  };
  std::vector<std::vector<Choice>> choices;
};

Reference reference_forward(const Weights& weights, std::span<const int32_t> tokens,
                            const Intervention& intervention = {});

/// One token's gate from its router logits (docs/papers.md, Equations); `margin` receives what decided it.
Reference::Choice reference_choice(const spec::ModelConfig& config, std::span<const double> logits_E,
                                   std::span<const float> bias_E, int64_t layer, const Intervention& intervention,
                                   double& margin);

}  // namespace dsmoe::engine
