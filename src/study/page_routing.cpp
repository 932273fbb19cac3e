// Which experts take how much, by layer and by domain of text.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "charts/heat_map.h"
#include "charts/lines.h"
#include "charts/text.h"
#include "study/expert_order.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html, charts::short_number;

std::vector<std::string> expert_names(int64_t count) {
  std::vector<std::string> names;
  for (int64_t e = 0; e < count; ++e) names.push_back(std::to_string(e));
  return names;
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
                      measured_shares(counts, layer)};
  const DomainOrder order = order_by_domain(counts, layer);
  map.order = {order.order};
  map.groups = order.groups;
  map.note = "Experts stand under the domain that they are picked for most, the most decided first.";
  return draw(map);
}

std::string percent_of(double share) {
  return std::isfinite(share) ? short_number(std::round(1000 * share) / 10) + " %" : "\u2013";
}
std::string bits_of(double bits) {
  return std::isfinite(bits) ? short_number(std::round(1000 * bits) / 1000) : "\u2013";
}

// A row for each mixture layer. The counts of a long record hold some of the layers only, its findings all.
std::string layer_table(const RunReport& run) {
  const RoutingCounts& counts = *run.routing;
  std::vector<charts::HtmlRow> rows;
  if (run.findings.layers.empty()) {
    for (size_t l = 0; l < counts.layers.size(); ++l) {
      rows.push_back({{std::to_string(counts.layers[l]), short_number(counts.max_violation(l)),
                       bits_of(counts.domain_information(l))}});
    }
    return charts::html_table({"layer", "MaxVio", "bits an expert tells of the domain"}, rows) +
           "<p class=\"note\">The last column is the mutual information of expert and domain: 0 when every kind of "
           "text is spread alike, more the better one could guess the text from the expert.</p>\n";
  }
  for (const RoutingFindings::Layer& layer : run.findings.layers) {
    rows.push_back({{std::to_string(layer.layer), bits_of(layer.max_violation), bits_of(layer.load_entropy),
                     bits_of(layer.router_entropy), percent_of(layer.domain_of_pick), percent_of(layer.domain_of_token),
                     bits_of(layer.pairs_bits), bits_of(layer.similarity)}});
  }
  return charts::html_table({"layer", "MaxVio", "load bits", "router bits", "domain of a pick", "domain of a token",
                             "pairs bits", "likeness"},
                            rows) +
         "<p class=\"note\">MaxVio: how far the busiest expert is above the mean. Load bits: log2 of the experts where "
         "load is even. Router bits: the entropy of one token\u2019s affinities. Domain: what one pick, or all picks "
         "of a "
         "token, tell of the kind of text, as a share of the most that they could. Pairs bits: how far the experts of "
         "a "
         "token are from independent. Likeness: mean cosine of the outputs of two experts that read one token.</p>\n";
}

void add_run(const RunReport& run, charts::Page& page) {
  const RoutingCounts& counts = *run.routing;
  const size_t best = most_telling_layer(counts);
  page.add("<h3>" + escape_html(run.name) + "</h3>\n<p>The top " + std::to_string(counts.num_experts_per_tok) + " of " +
           std::to_string(counts.n_routed_experts) + " experts read each token.</p>\n");
  page.add({load_map(run), domain_map(run, best)});
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    if (l != best) page.add_folded("Experts by domain, layer " + std::to_string(counts.layers[l]), domain_map(run, l));
  }
  page.add(layer_table(run));
}

// Specialisation in measures that models of any granularity share, a curve for each run.
charts::Figure specialisation(const Runs& runs, const char* title, double RoutingFindings::Layer::*share) {
  charts::LineChart chart{title, "layer", "% of the most that could be told"};
  chart.names = names_of(runs);
  for (const RunReport& run : runs) {
    charts::Series series{run.name, {}, {}};
    for (const RoutingFindings::Layer& layer : run.findings.layers) {
      series.x.push_back(static_cast<double>(layer.layer));
      series.y.push_back(100 * layer.*share);
    }
    if (!series.x.empty()) chart.points.push_back(std::move(series));
  }
  chart.note = "0 %: every kind of text is spread alike. 100 %: the experts of a token give its kind of text away.";
  return draw(chart);
}

void begin_section(const Runs& runs, charts::Page& page) {
  page.section("How the experts are used");
  using Layer = RoutingFindings::Layer;
  const auto told = [&](double Layer::*share) {
    return std::ranges::any_of(runs, [&](const RunReport& run) {
      return std::ranges::any_of(run.findings.layers, [&](const Layer& layer) { return std::isfinite(layer.*share); });
    });
  };
  std::vector<charts::Figure> figures;
  if (told(&Layer::domain_of_token)) {
    figures.push_back(specialisation(runs, "What a token\u2019s experts tell of its domain", &Layer::domain_of_token));
  }
  if (told(&Layer::domain_of_pick)) {
    figures.push_back(specialisation(runs, "What one pick tells of the domain", &Layer::domain_of_pick));
  }
  page.add(figures);
}

}  // namespace

void add_routing(const Runs& runs, charts::Page& page) {
  bool first = true;
  for (const RunReport& run : runs) {
    if (!run.routing || run.routing->layers.empty()) continue;
    if (first) begin_section(runs, page);
    first = false;
    add_run(run, page);
  }
}

}  // namespace dsmoe::study
