// Two models on one text, or one model under two interventions: where they part.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "charts/bars.h"
#include "charts/lines.h"
#include "charts/picked.h"
#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html, charts::short_number;

constexpr const char* kUnit = "nats per token";
constexpr size_t kPlaces = 10;

std::string fixed(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string sentence(const ModelDiff& diff) {
  const ModelDiff::Row& all = diff.rows.front();
  std::string out = "<p>B is " + std::string(all.difference() > 0 ? "worse" : "better") + " than A by " +
                    fixed("%.4f", std::abs(all.difference())) + " nats per token";
  if (std::isfinite(all.standard_error)) {
    out += " (standard error over documents " + fixed("%.4f", all.standard_error) + ")";
  }
  return out + ", on the same " + std::to_string(all.tokens) + " tokens.<br>A: " + escape_html(diff.a) +
         "<br>B: " + escape_html(diff.b) + "</p>\n";
}

charts::Figure by_domain(const ModelDiff& diff) {
  charts::BarChart chart{"Loss by domain, A and B", kUnit, {}, {"A", "B"}, {{}, {}}};
  std::vector<const ModelDiff::Row*> rows;
  for (const ModelDiff::Row& row : diff.rows) rows.push_back(&row);
  std::ranges::stable_sort(rows, std::greater<>(), [](const auto* row) { return row->difference(); });
  for (const ModelDiff::Row* row : rows) {
    chart.labels.push_back(row->domain);
    chart.values[0].push_back(row->a);
    chart.values[1].push_back(row->b);
  }
  chart.note = "Where B loses most against A comes first.";
  return draw(chart);
}

std::string domain_table(const ModelDiff& diff) {
  std::vector<charts::HtmlRow> rows;
  for (const ModelDiff::Row& row : diff.rows) {
    rows.push_back(
        {{escape_html(row.domain), std::to_string(row.tokens), fixed("%.4f", row.a), fixed("%.4f", row.b),
          fixed("%+.4f", row.difference()), std::isfinite(row.standard_error) ? fixed("%.4f", row.standard_error) : ""},
         row.domain == "all"});
  }
  return charts::html_table({"domain", "tokens", "A", "B", "B \u2212 A", "s.e."}, rows);
}

std::string step_name(const ModelDiff::Step& step) {
  if (!std::isfinite(step.from)) return "below " + short_number(step.to);
  if (!std::isfinite(step.to)) return "above " + short_number(step.from);
  return short_number(step.from) + " to " + short_number(step.to);
}

// How many tokens differ by how much.
charts::Figure by_difference(const ModelDiff& diff) {
  int64_t all = 0;
  for (const ModelDiff::Step& step : diff.steps) all += step.tokens;
  charts::BarChart chart{"Tokens by difference, B against A", "% of tokens", {}, {"tokens"}, {{}}};
  for (const ModelDiff::Step& step : diff.steps) {
    chart.labels.push_back(step_name(step) + " nats");
    chart.values[0].push_back(all > 0 ? 100 * static_cast<double>(step.tokens) / static_cast<double>(all) : 0);
  }
  chart.note = "Above zero B loses more than A.";
  return draw(chart);
}

charts::Figure by_layer(const ModelDiff& diff) {
  charts::LineChart chart{"Experts of A that B picks too", "layer", "% of picks"};
  charts::Series same{"picked by both", {}, {}}, chance{"by chance", {}, {}};
  for (const ModelDiff::Layer& layer : diff.layers) {
    same.x.push_back(static_cast<double>(layer.layer)), chance.x.push_back(static_cast<double>(layer.layer));
    same.y.push_back(100 * layer.same), chance.y.push_back(100 * layer.chance);
  }
  chart.points = {same, chance};
  return draw(chart);
}

// Full at two nats, one hue where the second model is worse, another where the first is.
std::string coloured(const ModelDiff::Token& token) {
  const double difference = token.b - token.a, strength = std::min(std::abs(difference) / 2, 1.0);
  return "<span style=\"background:color-mix(in srgb,var(--" + std::string(difference > 0 ? "above" : "below") + ") " +
         std::to_string(std::lround(65 * strength)) + "%,transparent)\" title=\"" + fixed("%.2f", token.a) + " and " +
         fixed("%.2f", token.b) + " nats\">" + escape_html(token.text) + "</span>";
}

charts::Figure passages(const ModelDiff& diff, const std::string& run) {
  charts::Figure figure;
  figure.title = "Where they differ most, token by token";
  figure.numbers.columns = {"domain", "token", "A", "B"};
  std::vector<charts::Choice> choices;
  for (const ModelDiff::Passage& passage : diff.passages) {
    std::string words;
    for (const ModelDiff::Token& token : passage.tokens) {
      words += coloured(token);
      figure.numbers.rows.push_back({passage.domain, token.text, charts::cell(token.a), charts::cell(token.b)});
    }
    choices.push_back({passage.domain, "<p class=\"tokens\">" + words + "</p>"});
  }
  figure.drawing = draw_picked(choices, figure.title + " " + run);
  figure.note =
      "Warm: B finds the token harder than A does. Cold: easier. Full colour at two nats; a pointer held over a "
      "token tells both losses.";
  return figure;
}

charts::Figure places(const std::vector<ModelDiff::Place>& all, const std::string& worse) {
  charts::Figure figure;
  figure.title = "Where " + worse + " loses most";
  figure.numbers.columns = {"domain", "before", "token", "behind", "A", "B"};
  figure.drawing =
      "<div class=\"wide\"><table class=\"words\"><tr><th>domain</th><th>token, where it "
      "stands</th><th>A</th><th>B</th></tr>\n";
  for (size_t i = 0; i < all.size(); ++i) {
    const ModelDiff::Place& place = all[i];
    figure.numbers.rows.push_back({place.domain, place.before, place.token.text, place.behind,
                                   charts::cell(place.token.a), charts::cell(place.token.b)});
    if (i >= kPlaces) continue;
    figure.drawing += "<tr><td>" + escape_html(place.domain) + "</td><td class=\"context\">" +
                      escape_html(place.before) + "<mark>" + escape_html(place.token.text) + "</mark>" +
                      escape_html(place.behind) + "</td><td>" + fixed("%.2f", place.token.a) + "</td><td>" +
                      fixed("%.2f", place.token.b) + "</td></tr>\n";
  }
  figure.drawing += "</table></div>\n";
  return figure;
}

void add_one(const RunReport& run, charts::Page& page) {
  const ModelDiff& diff = *run.diff;
  page.add(sentence(diff));
  std::vector<charts::Figure> figures = {by_domain(diff), by_difference(diff)};
  if (!diff.layers.empty()) figures.push_back(by_layer(diff));
  page.add(figures);
  page.add(domain_table(diff));
  if (!diff.passages.empty()) page.add(passages(diff, run.name));
  std::vector<charts::Figure> worst;
  if (!diff.b_worse.empty()) worst.push_back(places(diff.b_worse, "B"));
  if (!diff.a_worse.empty()) worst.push_back(places(diff.a_worse, "A"));
  page.add(worst);
}

}  // namespace

void add_diff(const Runs& runs, charts::Page& page) {
  bool first = true;
  for (const RunReport& run : runs) {
    if (!run.diff) continue;
    if (first) page.section("Where two models part");
    first = false;
    add_one(run, page);
  }
}

}  // namespace dsmoe::study
