// How the runs learnt: loss, balance of the experts' load and speed over the tokens seen.
#include <algorithm>
#include <cmath>

#include "charts/lines.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

constexpr const char* kTokens = "million tokens seen";

std::vector<double> in_millions(std::vector<double> tokens) {
  for (double& t : tokens) t /= 1e6;
  return tokens;
}

// Steps stand for tokens where no run counts them.
bool count_tokens(const Runs& runs) {
  return std::any_of(runs.begin(), runs.end(),
                     [](const RunReport& run) { return std::isfinite(last_finite(run.tokens)); });
}

std::vector<charts::Series> of_steps(const Runs& runs, std::vector<double> RunReport::*values) {
  std::vector<charts::Series> all;
  for (const RunReport& run : runs) {
    const auto x = count_tokens(runs) ? in_millions(run.tokens) : run.step;
    charts::Series series = charts::smoothed({run.name, x, run.*values});
    if (!series.x.empty()) all.push_back(std::move(series));
  }
  return all;
}

// A series for each run that was validated, or for each domain of the one run.
std::vector<charts::Series> of_validations(const Runs& runs) {
  std::vector<charts::Series> all;
  for (const RunReport& run : runs) {
    charts::Series series{run.name, {}, {}};
    for (const auto& validation : run.validations) {
      series.x.push_back(count_tokens(runs) ? validation.tokens / 1e6 : validation.step);
      series.y.push_back(validation.scores.front().nats_per_token);
    }
    if (!series.x.empty()) all.push_back(std::move(series));
  }
  return all;
}

charts::LineChart chart_of(const Runs& runs, const std::string& title, const std::string& unit) {
  charts::LineChart chart{title, count_tokens(runs) ? kTokens : "steps", unit};
  chart.names = names_of(runs);
  return chart;
}

charts::Figure loss(const Runs& runs) {
  charts::LineChart chart = chart_of(runs, "Loss", "nats per token");
  chart.lines = of_steps(runs, &RunReport::loss);
  chart.points = of_validations(runs);
  chart.line_name = "training, smoothed", chart.point_name = "validation";
  chart.note = chart.points.empty() ? "Training loss, neighbouring steps averaged; the runs were not validated."
                                    : "Marks: on text kept out of training. Pale lines: in training, neighbouring "
                                      "steps averaged.";
  return draw(chart);
}

// Dense models have no load to balance.
std::vector<charts::Figure> balance(const Runs& runs) {
  charts::LineChart chart = chart_of(runs, "Imbalance of expert load", "MaxVio");
  for (charts::Series& series : of_steps(runs, &RunReport::max_vio)) {
    if (std::any_of(series.y.begin(), series.y.end(), [](double v) { return v > 0; }))
      chart.lines.push_back(std::move(series));
  }
  if (chart.lines.empty()) return {};
  chart.note =
      "How far the busiest expert of a layer is above the mean load, averaged over layers; 0 is perfect balance.";
  return {draw(chart)};
}

std::vector<charts::Figure> speed(const Runs& runs) {
  charts::LineChart chart = chart_of(runs, "Speed", "tokens per second");
  chart.lines = of_steps(runs, &RunReport::tokens_per_s);
  if (chart.lines.empty()) return {};
  return {draw(chart)};
}

// Of one run there is room to see which text it learns when.
std::vector<charts::Figure> by_domain(const RunReport& run) {
  if (run.validations.size() < 2 || run.validations.back().scores.size() < 2) return {};
  charts::LineChart chart = chart_of({run}, "Held-out text by domain", "bits per byte");
  chart.names.clear();
  chart.point_name = "validation";
  for (const auto& domain : run.validations.back().scores) {
    charts::Series series{domain.name, {}, {}};
    for (const auto& validation : run.validations) {
      series.x.push_back(count_tokens({run}) ? validation.tokens / 1e6 : validation.step);
      series.y.push_back(bits_of(validation.scores, domain.name));
    }
    chart.points.push_back(std::move(series));
  }
  return {draw(chart)};
}

}  // namespace

void add_curves(const Runs& runs, charts::Page& page) {
  std::vector<charts::Figure> figures;
  const auto take = [&](std::vector<charts::Figure> more) {
    for (charts::Figure& figure : more) figures.push_back(std::move(figure));
  };
  page.section("Learning");
  take({loss(runs)});
  if (runs.size() == 1) take(by_domain(runs.front()));
  take(balance(runs));
  take(speed(runs));
  page.add(figures);
}

}  // namespace dsmoe::study
