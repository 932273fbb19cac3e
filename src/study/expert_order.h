// Experts in an order that shows what goes together.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "study/routing_counts.h"

namespace dsmoe::study {

/// [domain][expert] shares of a layer's picks; NaN for a domain of which no token was looked at.
std::vector<std::vector<double>> measured_shares(const RoutingCounts& counts, size_t layer);

struct DomainOrder {
  std::vector<size_t> order;                           ///< of all experts
  std::vector<std::pair<std::string, size_t>> groups;  ///< stretches of it: a domain, or "never picked", and how many
};
/// Experts of one preferred domain together (the one that picks them most), the most decided of each first; those that
/// nothing was sent to last.
DomainOrder order_by_domain(const RoutingCounts& counts, size_t layer);

/// The layer whose experts tell most of the domain.
size_t most_telling_layer(const RoutingCounts& counts);

/// Of a symmetric matrix [E][E] of how close two are (NaN: not known, taken as far), an order in which close ones are
/// neighbours: a chain that begins with the closest pair and grows by the one that is closest to either of its ends.
std::vector<size_t> chain_order(const std::vector<std::vector<double>>& closeness);

}  // namespace dsmoe::study
