#include "study/routing_similarity.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dsmoe::study {

double ExpertSimilarity::mean() const {
  const auto tokens = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  return tokens > 0 ? std::accumulate(cosines.begin(), cosines.end(), 0.0) / tokens : 0;
}

std::vector<ExpertSimilarity::Pair> ExpertSimilarity::most_alike(size_t most, int64_t fewest) const {
  std::vector<Pair> pairs;
  for (int32_t a = 0; a < experts; ++a) {
    for (int32_t b = a + 1; b < experts; ++b) {
      const int64_t count = counts[at(a, b)];
      if (count >= fewest) pairs.push_back({a, b, count, cosines[at(a, b)] / static_cast<double>(count)});
    }
  }
  const auto shown = static_cast<std::ptrdiff_t>(std::min(most, pairs.size()));
  std::partial_sort(pairs.begin(), pairs.begin() + shown, pairs.end(), [](const Pair& x, const Pair& y) {
    return std::tuple(-x.cosine, x.a, x.b) < std::tuple(-y.cosine, y.a, y.b);
  });
  pairs.resize(static_cast<size_t>(shown));
  return pairs;
}

SimilarityProbe::SimilarityProbe(const spec::ModelConfig& config) {
  const auto E = static_cast<size_t>(config.n_routed_experts);
  if (config.num_experts_per_tok < 2 || config.n_routed_experts > kMostPairedExperts) return;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    row_of_.push_back(static_cast<int64_t>(layers_.size()));
    if (!config.is_moe_layer(layer)) continue;
    layers_.push_back({config.n_routed_experts, std::vector<int64_t>(E * E, 0), std::vector<double>(E * E, 0.0)});
  }
}

void SimilarityProbe::on_expert_outputs(int64_t layer, const engine::RoutingView& routing,
                                        const engine::ExpertOutputsView& outputs) {
  if (layers_.empty()) return;
  ExpertSimilarity& seen = layers_[static_cast<size_t>(row_of_[static_cast<size_t>(layer)])];
  const auto dot = [&](size_t i, size_t j) {
    const auto a = outputs.output(i), b = outputs.output(j);
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  const auto K = static_cast<size_t>(routing.slots);
  lengths_.resize(K);
  for (size_t first = 0; first < routing.ids_TK.size(); first += K) {
    const auto id = [&](size_t k) { return routing.ids_TK[first + k]; };
    for (size_t k = 0; k < K; ++k) lengths_[k] = id(k) < 0 ? 0 : std::sqrt(dot(first + k, first + k));
    for (size_t j = 0; j < K; ++j) {
      for (size_t k = j + 1; k < K; ++k) {
        const double lengths = lengths_[j] * lengths_[k];
        if (!(lengths > 0)) continue;
        const size_t pair = seen.at(std::min(id(j), id(k)), std::max(id(j), id(k)));
        ++seen.counts[pair];
        seen.cosines[pair] += dot(first + j, first + k) / lengths;
      }
    }
  }
}

}  // namespace dsmoe::study
