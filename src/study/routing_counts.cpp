#include "study/routing_counts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace dsmoe::study {
namespace {

std::vector<double> shares(const std::vector<int64_t>& counts) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  std::vector<double> out(counts.size(), 0.0);
  for (size_t i = 0; total > 0 && i < counts.size(); ++i) out[i] = static_cast<double>(counts[i]) / total;
  return out;
}

}  // namespace

void RoutingCounts::allocate() {
  const auto experts = static_cast<size_t>(n_routed_experts);
  tokens.assign(domains.size(), 0);
  counts.assign(layers.size(), std::vector<std::vector<int64_t>>(domains.size(), std::vector<int64_t>(experts, 0)));
}

std::vector<std::vector<double>> RoutingCounts::domain_share(size_t layer) const {
  std::vector<std::vector<double>> out;
  for (const std::vector<int64_t>& row : counts[layer]) out.push_back(shares(row));
  return out;
}

std::vector<double> RoutingCounts::layer_share(size_t layer) const {
  std::vector<double> mean(static_cast<size_t>(n_routed_experts), 0.0);
  double weight = 0;
  for (const auto& row : domain_share(layer)) weight += std::accumulate(row.begin(), row.end(), 0.0);
  for (const auto& row : domain_share(layer)) {
    for (size_t e = 0; e < row.size(); ++e) mean[e] += row[e] / std::max(weight, 1.0);
  }
  return mean;
}

double RoutingCounts::domain_information(size_t layer) const {
  const std::vector<double> mean = layer_share(layer);
  double bits = 0, used = 0;  // domains without tokens weigh nothing
  for (const auto& row : domain_share(layer)) {
    used += std::accumulate(row.begin(), row.end(), 0.0);
    for (size_t e = 0; e < row.size(); ++e) {
      if (row[e] > 0) bits += row[e] * std::log2(row[e] / mean[e]);
    }
  }
  return used > 0 ? bits / used : 0;
}

double RoutingCounts::load_entropy(size_t layer) const {
  double bits = 0;
  for (const double p : layer_share(layer)) bits -= p > 0 ? p * std::log2(p) : 0;
  return bits;
}

double RoutingCounts::max_violation(size_t layer) const {
  const std::vector<double> mean = layer_share(layer);
  return *std::max_element(mean.begin(), mean.end()) * static_cast<double>(mean.size()) - 1.0;
}

base::Json to_json(const RoutingCounts& c) {
  return {{"layers", c.layers},
          {"n_routed_experts", c.n_routed_experts},
          {"num_experts_per_tok", c.num_experts_per_tok},
          {"domains", c.domains},
          {"tokens", c.tokens},
          {"counts", c.counts}};
}

RoutingCounts routing_counts_from_json(const base::Json& json, std::string_view where) {
  RoutingCounts c;
  try {
    c.n_routed_experts = base::require_int(json, "n_routed_experts", 1, 1 << 16, where);
    c.num_experts_per_tok = base::require_int(json, "num_experts_per_tok", 1, c.n_routed_experts, where);
    base::require_member(json, "layers", where).get_to(c.layers);
    base::require_member(json, "domains", where).get_to(c.domains);
    base::require_member(json, "tokens", where).get_to(c.tokens);
    base::require_member(json, "counts", where).get_to(c.counts);
  } catch (const base::Json::exception&) {
    base::fail_invalid(where, "not the routing counts that `dsmoe study routing` writes");
  }
  bool fits = c.counts.size() == c.layers.size() && c.tokens.size() == c.domains.size() && !c.domains.empty();
  for (const auto& layer : c.counts) {
    fits = fits && layer.size() == c.domains.size();
    for (const auto& row : layer) fits = fits && row.size() == static_cast<size_t>(c.n_routed_experts);
  }
  if (!fits) base::fail_invalid(where, "layers, domains, experts and counts do not have fitting sizes");
  return c;
}

}  // namespace dsmoe::study
