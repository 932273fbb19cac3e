// Experts that tokens pick together, and how alike the outputs of two are.
#include <algorithm>
#include <cmath>

#include "charts/heat_map.h"
#include "charts/text.h"
#include "study/expert_order.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using Pairs = RoutingFindings::Pairs;

constexpr size_t kMostDrawn = 40;  // rows of a map that a person can read

// The largest of a row that is known.
double largest(const std::vector<double>& row) {
  double most = -INFINITY;
  for (const double value : row) most = value > most ? value : most;
  return most;
}

// The experts that go with another one most, in an order in which those that do are neighbours.
std::vector<size_t> order_of(const RoutingFindings::Matrix& lifts) {
  std::vector<size_t> order = chain_order(lifts);
  if (order.size() <= kMostDrawn) return order;
  std::vector<double> strength;
  for (const auto& row : lifts) strength.push_back(largest(row));
  std::vector<double> sorted = strength;
  std::ranges::nth_element(sorted, sorted.begin() + kMostDrawn, std::greater<>());
  std::erase_if(order, [&](size_t e) { return strength[e] <= sorted[kMostDrawn]; });
  return order;
}

charts::HeatMap map_of(const std::string& title, const RoutingFindings::Matrix& matrix,
                       const std::vector<size_t>& order) {
  charts::HeatMap map{title, "expert", "expert", {}, {}, {}};
  map.of_pairs = true;
  for (const size_t a : order) {
    map.rows.push_back(std::to_string(a));
    map.columns.push_back(std::to_string(a));
    map.values.emplace_back();
    for (const size_t b : order) map.values.back().push_back(matrix[a][b]);
  }
  if (order.size() < matrix.size()) {
    map.note = "The " + std::to_string(order.size()) + " of " + std::to_string(matrix.size()) +
               " experts that go with another one most. ";
  }
  return map;
}

// The layer whose pairs are furthest from chance, of those with the numbers of all pairs.
const Pairs* most_paired(const RoutingFindings& findings) {
  const Pairs* best = nullptr;
  double most = -INFINITY;
  for (const Pairs& pairs : findings.pairs) {
    const auto layer = std::ranges::find(findings.layers, pairs.layer, &RoutingFindings::Layer::layer);
    const double bits = layer != findings.layers.end() ? layer->pairs_bits : 0;
    if (!pairs.lifts.empty() && (best == nullptr || bits > most)) best = &pairs, most = bits;
  }
  return best;
}

std::vector<charts::Figure> figures_of(const RunReport& run, const Pairs& pairs) {
  const std::string where = ", " + run.name + ", layer " + std::to_string(pairs.layer);
  const std::vector<size_t> order = order_of(pairs.lifts);
  charts::HeatMap together = map_of("Experts picked together" + where, pairs.lifts, order);
  together.scale = charts::HeatMap::Scale::kRatio;
  together.note += "How much more often than by chance a token picks both. Neighbours go together.";
  std::vector<charts::Figure> figures = {draw(together)};
  if (pairs.cosines.empty()) return figures;
  charts::HeatMap alike = map_of("How alike experts are" + where, pairs.cosines, order);
  alike.scale = charts::HeatMap::Scale::kCosine;
  alike.note +=
      "The mean cosine of the outputs of two experts that read the same token, in the same order. Hatched: "
      "hardly any token picked both.";
  figures.push_back(draw(alike));
  return figures;
}

}  // namespace

void add_pairs(const Runs& runs, charts::Page& page) {
  bool first = true;
  for (const RunReport& run : runs) {
    const Pairs* pairs = most_paired(run.findings);
    if (pairs == nullptr) continue;
    if (first) page.section("Experts that go together");
    first = false;
    page.add(figures_of(run, *pairs));
  }
}

}  // namespace dsmoe::study
