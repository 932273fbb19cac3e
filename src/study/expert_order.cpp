#include "study/expert_order.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>

namespace dsmoe::study {
namespace {

// The domain that a layer's expert is picked for most often beside how often it is picked at all.
size_t preferred_domain(const std::vector<std::vector<double>>& shares, size_t expert) {
  size_t best = 0;
  for (size_t d = 0; d < shares.size(); ++d) {
    if (std::isfinite(shares[d][expert]) && !(shares[best][expert] >= shares[d][expert])) best = d;
  }
  return best;
}

}  // namespace

std::vector<std::vector<double>> measured_shares(const RoutingCounts& counts, size_t layer) {
  auto shares = counts.domain_share(layer);
  for (size_t d = 0; d < shares.size(); ++d) {
    if (counts.tokens[d] == 0) std::fill(shares[d].begin(), shares[d].end(), std::nan(""));
  }
  return shares;
}

DomainOrder order_by_domain(const RoutingCounts& counts, size_t layer) {
  const auto shares = measured_shares(counts, layer);
  const std::vector<double> load = counts.layer_share(layer);
  const size_t experts = load.size(), nobody = shares.size();
  std::vector<size_t> domain(experts);
  for (size_t e = 0; e < experts; ++e) domain[e] = load[e] > 0 ? preferred_domain(shares, e) : nobody;
  const auto decided = [&](size_t e) { return domain[e] == nobody ? 0 : shares[domain[e]][e] / load[e]; };
  DomainOrder result;
  result.order.resize(experts);
  std::iota(result.order.begin(), result.order.end(), size_t{0});
  std::stable_sort(result.order.begin(), result.order.end(), [&](size_t a, size_t b) {
    return domain[a] != domain[b] ? domain[a] < domain[b] : decided(a) > decided(b);
  });
  for (const size_t e : result.order) {
    const std::string name = domain[e] == nobody ? "never picked" : counts.domains[domain[e]];
    if (result.groups.empty() || result.groups.back().first != name) result.groups.emplace_back(name, 0);
    ++result.groups.back().second;
  }
  return result;
}

size_t most_telling_layer(const RoutingCounts& counts) {
  size_t best = 0;
  for (size_t l = 1; l < counts.layers.size(); ++l) {
    if (counts.domain_information(l) > counts.domain_information(best)) best = l;
  }
  return best;
}

std::vector<size_t> chain_order(const std::vector<std::vector<double>>& closeness) {
  const size_t count = closeness.size();
  std::vector<bool> placed(count, false);
  const auto close = [&](size_t a, size_t b) {
    return std::isfinite(closeness[a][b]) ? closeness[a][b] : std::numeric_limits<double>::lowest();
  };
  // The one that is closest to `to` of those left; ties go to the lowest number.
  const auto nearest = [&](size_t to) {
    size_t best = count;
    for (size_t e = 0; e < count; ++e) {
      if (e != to && !placed[e] && (best == count || close(to, e) > close(to, best))) best = e;
    }
    return best;
  };
  if (count < 2) return std::vector<size_t>(count, 0);
  size_t first = 0;
  for (size_t e = 1; e + 1 < count; ++e) {
    if (close(e, nearest(e)) > close(first, nearest(first))) first = e;
  }
  std::deque<size_t> chain = {first, nearest(first)};
  placed[chain.front()] = placed[chain.back()] = true;
  while (chain.size() < count) {
    const size_t before = nearest(chain.front()), behind = nearest(chain.back());
    const bool at_end = close(chain.back(), behind) >= close(chain.front(), before);
    const size_t next = at_end ? behind : before;
    placed[next] = true;
    at_end ? chain.push_back(next) : chain.push_front(next);
  }
  return {chain.begin(), chain.end()};
}

}  // namespace dsmoe::study
