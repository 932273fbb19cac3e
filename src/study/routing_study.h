// Walking a model over labelled text and counting which experts it uses.
#pragma once

#include <cstdint>
#include <functional>

#include "corpus/dataset.h"
#include "corpus/validation.h"
#include "engine/engine.h"
#include "study/routing_counts.h"

namespace dsmoe::study {

struct RoutingStudyOptions {
  /// Windows of this length, as in training; 0: the model's max_position_embeddings.
  int64_t sequence_length = 0;
  /// Tokens looked at over all domains; 0: all of the split.
  int64_t token_limit = 0;
  /// Called now and then with the tokens done and all tokens.
  std::function<void(int64_t done, int64_t all)> progress;
};

/// Throws Error(kInvalid) when the model has no mixture layer, or when the dataset's vocabulary is larger
/// than the model's (whose rows may be padded).
RoutingCounts study_routing(engine::Engine& engine, const corpus::TokenDataset& dataset,
                            const RoutingStudyOptions& options = {});

}  // namespace dsmoe::study
