// What each run was and what it came to, a row each, the lowest first.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

using charts::escape_html, charts::short_number;

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.empty()) return std::nan("");
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

std::string blank_or(double value, std::string (*words)(double)) { return std::isfinite(value) ? words(value) : ""; }

double parameters_of(const RunReport& run) {
  const double told = run.parameters > 0 ? static_cast<double>(run.parameters) : std::nan("");
  return run.plan.value("params_total", told);
}

charts::HtmlRow row_of(const RunReport& run, double measured) {
  const double valid = run.validations.empty() || run.validations.back().scores.empty()
                           ? std::nan("")
                           : run.validations.back().scores.front().nats_per_token;
  return {{escape_html(run.name), blank_or(parameters_of(run), millions),
           blank_or(run.plan.value("params_activated", std::nan("")), millions),
           blank_or(last_finite(run.step), short_number), blank_or(last_finite(run.tokens), millions),
           blank_or(std::round(median(run.tokens_per_s)), short_number), blank_or(last_finite(run.loss), short_number),
           blank_or(valid, short_number), blank_or(measured, short_number)}};
}

// A column that no run fills is left out.
void remove_empty_columns(std::vector<std::string>& head, std::vector<charts::HtmlRow>& rows) {
  for (size_t c = head.size(); c-- > 1;) {
    if (!std::all_of(rows.begin(), rows.end(), [&](const auto& row) { return row.cells[c].empty(); })) continue;
    head.erase(head.begin() + static_cast<long>(c));
    for (auto& row : rows) row.cells.erase(row.cells.begin() + static_cast<long>(c));
  }
}

}  // namespace

void add_summary(const Runs& runs, charts::Page& page) {
  const Measure measure = measure_of(runs);
  const bool bits = measure.kind != Measure::Kind::kTraining;
  std::vector<size_t> order(runs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto value = [&](size_t r) { return std::isfinite(measure.values[r]) ? measure.values[r] : INFINITY; };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return value(a) < value(b); });
  std::vector<std::string> head = {"run",      "parameters",    "activated",  "steps",        "tokens seen",
                                   "tokens/s", "training loss", "validation", "bits per byte"};
  std::vector<charts::HtmlRow> rows;
  for (const size_t r : order) rows.push_back(row_of(runs[r], bits ? measure.values[r] : std::nan("")));
  remove_empty_columns(head, rows);
  page.add(charts::html_table(head, rows));
  std::string alarms;
  for (const RunReport& run : runs) {
    for (const auto& alarm : run.alarms) {
      alarms += "<li>" + escape_html(run.name + ", step " + short_number(alarm.step) + ": " + alarm.text) + "</li>\n";
    }
  }
  if (!alarms.empty()) page.add("<p>Alarms raised while training:</p>\n<ul>" + alarms + "</ul>\n");
}

}  // namespace dsmoe::study
