// Which experts a token picks together, against chance.
//
// A token's K experts are all different, so experts are not independent of each other even where routing is random: two
// of E meet in K (K - 1) / (E (E - 1)) of the tokens, not in K^2 / E^2, which would make few picks look as if
// experts avoided each other. Chance is quasi-independence instead: pairs as often as a_i a_j, with the a_i for which
// every expert is in as many pairs as it is. The bits by which pairs differ from that,
//     sum over pairs of p_ij log2(p_ij / chance_ij),
// are 0 for random routing of the same loads up to what finite text adds: with M pairs counted, about
// (E (E - 1) / 2 - E) / (2 M ln 2). Experts split into identical ones that are picked together are no independent
// experts, and the figure says so: it is no measure to compare models of different granularity by.
#pragma once

#include "base/parallel.h"
#include "study/routing_trace.h"

namespace dsmoe::study {

/// Tables of pairs are E by E; a layer of more experts has none.
inline constexpr int64_t kMostPairedExperts = 2048;

struct ExpertPair {
  int32_t a = 0, b = 0;  ///< a < b
  int64_t count = 0;     ///< tokens that picked both
  double lift = 0;       ///< count over that of chance
};

struct ExpertPairs {
  int64_t experts = 0;           ///< E
  std::vector<int64_t> counts;   ///< [E, E] tokens that picked both; symmetric, zero diagonal
  std::vector<double> expected;  ///< [E, E] the same by chance
  double bits = 0, chance = 0;

  size_t at(int64_t a, int64_t b) const { return static_cast<size_t>(a * experts + b); }
  /// Where chance gives no pair there is nothing to compare: 1.
  double lift(int64_t a, int64_t b) const;
  /// Of the pairs that are there more often than by chance, those that add most to `bits`, in that order.
  std::vector<ExpertPair> strongest(size_t most) const;
};

/// [L]. Empty where K is 1 or E above kMostPairedExperts. Layers are shared out among threads.
std::vector<ExpertPairs> pairs_of_experts(const RoutingTrace& trace,
                                          const base::ParallelFor& parallel = base::serial_for);

/// [E, E] a_i a_j with rows that sum to those of `counts`, and a zero diagonal.
std::vector<double> quasi_independent(const std::vector<int64_t>& counts, int64_t experts);

}  // namespace dsmoe::study
