// Which experts take how much, by layer and by domain of text.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "charts/heat_map.h"
#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html, charts::short_number;

std::vector<std::string> expert_names(int64_t count) {
  std::vector<std::string> names;
  for (int64_t e = 0; e < count; ++e) names.push_back(std::to_string(e));
  return names;
}

// [domain][expert] shares; NaN for a domain of which no token was looked at.
std::vector<std::vector<double>> shares_of(const RoutingCounts& counts, size_t layer) {
  auto shares = counts.domain_share(layer);
  for (size_t d = 0; d < shares.size(); ++d) {
    if (counts.tokens[d] == 0) std::fill(shares[d].begin(), shares[d].end(), std::nan(""));
  }
  return shares;
}

// The domain that a layer's expert is picked for most often beside how often it is picked at all.
size_t preferred_domain(const std::vector<std::vector<double>>& shares, size_t expert) {
  size_t best = 0;
  for (size_t d = 0; d < shares.size(); ++d) {
    if (std::isfinite(shares[d][expert]) && !(shares[best][expert] >= shares[d][expert])) best = d;
  }
  return best;
}

// Experts of one preferred domain together, the most decided of each first; those that nothing was sent to last.
void order_by_domain(charts::HeatMap& map, const std::vector<double>& load) {
  const size_t experts = map.columns.size(), nobody = map.rows.size();
  std::vector<size_t> order(experts), domain(experts);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t e = 0; e < experts; ++e) domain[e] = load[e] > 0 ? preferred_domain(map.values, e) : nobody;
  const auto decided = [&](size_t e) { return domain[e] == nobody ? 0 : map.values[domain[e]][e] / load[e]; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return domain[a] != domain[b] ? domain[a] < domain[b] : decided(a) > decided(b);
  });
  for (const size_t e : order) {
    const std::string name = domain[e] == nobody ? "never picked" : map.rows[domain[e]];
    if (map.groups.empty() || map.groups.back().first != name) map.groups.emplace_back(name, 0);
    ++map.groups.back().second;
  }
  map.order = {order};
}

charts::Figure load_map(const RunReport& run) {
  const RoutingCounts& counts = *run.routing;
  charts::HeatMap map{"Expert load by layer, " + run.name,   "layer", "expert", {},
                      expert_names(counts.n_routed_experts), {}};
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    map.rows.push_back("layer " + std::to_string(counts.layers[l]));
    map.values.push_back(counts.layer_share(l));
    std::vector<size_t> order(map.columns.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto& share = map.values.back();
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return share[a] > share[b]; });
    map.order.push_back(order);
  }
  map.groups = {{"each layer's experts, the busiest first", map.columns.size()}};
  map.note = "A pointer held over a cell names the expert and its share.";
  return draw(map);
}

charts::Figure domain_map(const RunReport& run, size_t layer) {
  const RoutingCounts& counts = *run.routing;
  charts::HeatMap map{"Experts by domain, " + run.name + ", layer " + std::to_string(counts.layers[layer]),
                      "domain",
                      "expert",
                      counts.domains,
                      expert_names(counts.n_routed_experts),
                      shares_of(counts, layer)};
  order_by_domain(map, counts.layer_share(layer));
  map.note = "Experts stand under the domain that they are picked for most, the most decided first.";
  return draw(map);
}

void add_run(const RunReport& run, charts::Page& page) {
  const RoutingCounts& counts = *run.routing;
  size_t best = 0;
  std::vector<charts::HtmlRow> rows;
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    rows.push_back({{std::to_string(counts.layers[l]), short_number(counts.max_violation(l)),
                     short_number(counts.domain_information(l))}});
    if (counts.domain_information(l) > counts.domain_information(best)) best = l;
  }
  page.add("<h3>" + escape_html(run.name) + "</h3>\n<p>The top " + std::to_string(counts.num_experts_per_tok) + " of " +
           std::to_string(counts.n_routed_experts) + " experts read each token.</p>\n");
  page.add({load_map(run), domain_map(run, best)});
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    if (l != best) page.add_folded("Experts by domain, layer " + std::to_string(counts.layers[l]), domain_map(run, l));
  }
  page.add(charts::html_table({"layer", "MaxVio", "bits an expert tells of the domain"}, rows) +
           "<p class=\"note\">The last column is the mutual information of expert and domain: 0 when every kind of "
           "text is spread alike, more the better one could guess the text from the expert.</p>\n");
}

}  // namespace

void add_routing(const Runs& runs, charts::Page& page) {
  bool first = true;
  for (const RunReport& run : runs) {
    if (!run.routing || run.routing->layers.empty()) continue;
    if (first) page.section("How the experts are used");
    first = false;
    add_run(run, page);
  }
}

}  // namespace dsmoe::study
