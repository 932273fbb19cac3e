// Which experts a model used for which kind of text: integers, and what can be read off them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace dsmoe::study {

struct RoutingCounts {
  std::vector<int64_t> layers;       ///< model layer of each mixture layer
  int64_t n_routed_experts = 0;      ///< E
  int64_t num_experts_per_tok = 0;   ///< K
  std::vector<std::string> domains;  ///< labels of the text
  std::vector<int64_t> tokens;       ///< [domain] tokens looked at
  /// [mixture layer][domain][expert]: how often a token of that domain picked that expert. Each row sums to tokens x K.
  std::vector<std::vector<std::vector<int64_t>>> counts;

  /// All zero, of the shape that layers, domains and n_routed_experts say.
  void allocate();
  /// [expert] share of a layer's picks over all domains, each domain weighing the same.
  std::vector<double> layer_share(size_t layer) const;
  /// [domain][expert] share of a domain's picks.
  std::vector<std::vector<double>> domain_share(size_t layer) const;
  /// Bits that the choice of expert tells about the domain (mutual information, domains weighing the same): 0 when
  /// every domain uses the experts alike, log2(domains) when each has experts of its own.
  double domain_information(size_t layer) const;
  /// Bits of the choice of one expert when all domains weigh the same: log2(E) when all experts are used alike.
  double load_entropy(size_t layer) const;
  /// (max load - mean load) / mean load over the layer's experts (arXiv 2408.15664).
  double max_violation(size_t layer) const;
};

base::Json to_json(const RoutingCounts& counts);
/// Throws Error(kInvalid) naming `where` when the numbers do not fit together.
RoutingCounts routing_counts_from_json(const base::Json& json, std::string_view where);

}  // namespace dsmoe::study
