// Which routed experts a text uses most: expert-specialised fine-tuning (ESFT, arXiv 2407.01906) trains those alone.
//
// An expert is scored by its mean gate value over all tokens of the text, 0 for a token that did not choose it, or by
// the share of tokens that chose it. Of each layer the fewest experts are taken that have a given share of all its
// scores: gate values need not sum to one, so the paper's p is taken as a part of what they do sum to.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "corpus/batch_source.h"
#include "model/transformer.h"
#include "spec/trained_experts.h"

namespace dsmoe::train {

enum class ExpertScore { kGate, kToken };

/// Of one mixture layer, summed over tokens.
struct LayerScores {
  int64_t layer = 0;
  std::vector<double> gates_E;   ///< gate values
  std::vector<double> tokens_E;  ///< tokens that chose the expert
  const std::vector<double>& of(ExpertScore score) const { return score == ExpertScore::kGate ? gates_E : tokens_E; }
};

struct ExpertScores {
  int64_t tokens = 0;  ///< read
  std::vector<LayerScores> layers;
};

/// Adds what a layer's tokens chose.
void add_routing(const moe::Routing& routing, LayerScores& scores);

/// Reads the first `steps` steps of `batches`, no further than about `most_tokens`; nothing is trained.
ExpertScores score_experts(const model::Transformer& model, const corpus::BatchSource& batches, int64_t steps,
                           int64_t most_tokens);

/// The fewest experts whose scores sum to at least `share` (above 0, at most 1) of all, ascending; of equal scores the
/// lower expert's counts as the higher. None with a score of 0.
std::vector<int64_t> fewest_experts(std::span<const double> score_E, double share);

/// Those of each layer.
std::vector<spec::RoutedExpert> choose_experts(const ExpertScores& scores, ExpertScore score, double share);

/// [{layer, trained, mean_gate, token_share}]: the numbers of the experts chosen, and of each expert its mean gate
/// value and the share of tokens that chose it.
base::Json layers_json(const ExpertScores& scores, std::span<const spec::RoutedExpert> chosen);

}  // namespace dsmoe::train
