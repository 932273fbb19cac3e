// How alike experts' outputs are on the tokens that they share.
//
// Of two experts that a token picked, the cosine of what each made of it, before gates; its mean over the tokens that
// picked both. 1: one could stand in for the other there; 0: what they write is unrelated, which is also what random
// vectors of D numbers give, with a deviation of 1/sqrt(D) a token. Experts that no token picks together are not
// compared.
#pragma once

#include "engine/intervention.h"
#include "spec/model_config.h"
#include "study/routing_pairs.h"

namespace dsmoe::study {

/// A mean over fewer tokens than this says little of a pair.
inline constexpr int64_t kFewestShared = 10;

struct ExpertSimilarity {
  int64_t experts = 0;          ///< E
  std::vector<int64_t> counts;  ///< [E, E] tokens that picked both; filled above the diagonal, a < b
  std::vector<double> cosines;  ///< [E, E] summed over them

  size_t at(int64_t a, int64_t b) const { return static_cast<size_t>(a * experts + b); }
  /// Over all tokens and pairs; 0 without any.
  double mean() const;
  struct Pair {
    int32_t a = 0, b = 0;
    int64_t count = 0;
    double cosine = 0;
  };
  /// Those most alike of the pairs that at least `fewest` tokens share, best first.
  std::vector<Pair> most_alike(size_t most, int64_t fewest = kFewestShared) const;
};

/// Sees a pass; `layers()` is what it saw, [L], empty for a model that picks one expert or has more than
/// kMostPairedExperts.
class SimilarityProbe : public engine::RoutingProbe {
 public:
  explicit SimilarityProbe(const spec::ModelConfig& config);
  void on_routing(int64_t, const engine::RoutingView&) override {}
  void on_expert_outputs(int64_t layer, const engine::RoutingView& routing,
                         const engine::ExpertOutputsView& outputs) override;
  const std::vector<ExpertSimilarity>& layers() const { return layers_; }

 private:
  std::vector<int64_t> row_of_;  // [model layer] place in layers_
  std::vector<ExpertSimilarity> layers_;
  std::vector<double> lengths_;
};

}  // namespace dsmoe::study
