// Which tokens each expert takes, with some of them where they stand.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "charts/picked.h"
#include "charts/text.h"
#include "study/expert_order.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html, charts::short_number;

constexpr size_t kMostRows = 24;  // experts of a layer that a table shows; its numbers have all

// Where an expert stands in its layer: the domain that it is picked for most, where counts of that layer are kept.
struct Placed {
  size_t expert;
  std::string domain;
};

std::vector<Placed> in_order(const RoutingCounts& counts, const RoutingFindings::Experts& layer) {
  std::vector<Placed> placed;
  const auto row = std::ranges::find(counts.layers, layer.layer);
  if (row == counts.layers.end()) {
    for (size_t e = 0; e < layer.experts.size(); ++e) placed.push_back({e, ""});
    return placed;
  }
  const DomainOrder order = order_by_domain(counts, static_cast<size_t>(row - counts.layers.begin()));
  size_t at = 0;
  for (const auto& [name, length] : order.groups) {
    for (size_t i = 0; i < length; ++i) placed.push_back({order.order[at++], name});
  }
  return placed;
}

// A token as a person can see it: white space by its signs.
std::string visible(const std::string& token) {
  std::string out;
  for (const char c : token)
    out += c == '\n' ? "\u21b5" : c == '\t' ? "\u21e5" : c == ' ' ? "\u2423" : std::string(1, c);
  return escape_html(out);
}

std::string tokens_cell(const RoutingFindings::Expert& expert) {
  std::string out;
  for (const RoutingFindings::Token& token : expert.tokens) {
    out += (out.empty() ? "" : " \u00b7 ") +
           ("<span title=\"" + std::to_string(token.count) + " times, " + short_number(100 * token.share) +
            " % of its occurrences, " + short_number(token.lift) + " times chance\">") +
           visible(token.text) + "</span>";
  }
  return out.empty() ? "<span class=\"soft\">none more often than by chance</span>" : out;
}

std::string example_cell(const RoutingFindings::Expert& expert) {
  if (expert.examples.empty()) return "";
  const RoutingFindings::Example& example = expert.examples.front();
  return "<span title=\"" + escape_html(example.domain) + "\">" + escape_html(example.before) + "<mark>" +
         escape_html(example.token) + "</mark>" + escape_html(example.behind) + "</span>";
}

// The experts that tell most by their tokens: occurrences times bits, beside all picks.
double decided(const RoutingFindings::Expert& expert) {
  double bits = 0;
  for (const auto& token : expert.tokens) {
    if (token.lift > 0) bits += static_cast<double>(token.count) * std::log2(token.lift);
  }
  return expert.picks > 0 ? bits / static_cast<double>(expert.picks) : 0;
}

std::string layer_table(const RoutingFindings::Experts& layer, std::vector<Placed> placed) {
  int64_t picks = 0;
  for (const auto& expert : layer.experts) picks += expert.picks;
  std::string out;
  if (placed.size() > kMostRows) {
    std::vector<double> weight(layer.experts.size());
    for (size_t e = 0; e < weight.size(); ++e) weight[e] = decided(layer.experts[e]);
    std::vector<double> sorted = weight;
    std::ranges::nth_element(sorted, sorted.begin() + kMostRows, std::greater<>());
    std::erase_if(placed, [&](const Placed& one) { return weight[one.expert] <= sorted[kMostRows]; });
    out += "<p class=\"note\">The " + std::to_string(placed.size()) + " of " + std::to_string(layer.experts.size()) +
           " experts that are most decided about tokens; the numbers have all.</p>\n";
  }
  out +=
      "<div class=\"wide\"><table class=\"words\"><tr><th>expert</th><th>for</th><th>picks</th><th>tokens that it takes"
      "</th><th>the first of them, where it stands</th></tr>\n";
  for (const Placed& one : placed) {
    const RoutingFindings::Expert& expert = layer.experts[one.expert];
    const double share = picks > 0 ? static_cast<double>(expert.picks) / static_cast<double>(picks) : 0;
    out += "<tr><td>" + std::to_string(one.expert) + "</td><td>" + escape_html(one.domain) + "</td><td>" +
           short_number(std::round(1000 * share) / 10) + " %</td><td class=\"taken\">" + tokens_cell(expert) +
           "</td><td class=\"context\">" + example_cell(expert) + "</td></tr>\n";
  }
  return out + "</table></div>\n";
}

void add_numbers(const RoutingFindings::Experts& layer, charts::Table& table) {
  for (size_t e = 0; e < layer.experts.size(); ++e) {
    for (const RoutingFindings::Token& token : layer.experts[e].tokens) {
      table.rows.push_back({layer.layer, e, layer.experts[e].picks, token.text, token.count, charts::cell(token.share),
                            charts::cell(token.lift)});
    }
  }
}

charts::Figure experts_figure(const RunReport& run) {
  charts::Figure figure;
  figure.title = "Which tokens each expert takes, " + run.name;
  figure.numbers.columns = {"layer", "expert", "picks", "token", "count", "share", "lift"};
  figure.note =
      "Experts stand under the domain that they are picked for most. Tokens come to an expert more often than "
      "by chance; those that tell most of it come first.";
  const int64_t telling = run.routing->layers[most_telling_layer(*run.routing)];
  std::vector<charts::Choice> choices;
  size_t first = 0;
  for (const RoutingFindings::Experts& layer : run.findings.experts) {
    if (layer.layer == telling) first = choices.size();
    choices.push_back({"layer " + std::to_string(layer.layer), layer_table(layer, in_order(*run.routing, layer))});
    add_numbers(layer, figure.numbers);
  }
  figure.drawing = draw_picked(choices, figure.title, first);
  return figure;
}

}  // namespace

void add_experts(const Runs& runs, charts::Page& page) {
  bool first = true;
  for (const RunReport& run : runs) {
    if (!run.routing || run.routing->layers.empty() || run.findings.experts.empty()) continue;
    if (first) page.section("What the experts take");
    first = false;
    page.add(experts_figure(run));
  }
}

}  // namespace dsmoe::study
