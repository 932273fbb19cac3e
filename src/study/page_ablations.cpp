// What the models lose without some of their experts: a section for each study of that kind.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "charts/bars.h"
#include "charts/lines.h"
#include "charts/text.h"
#include "study/ablation_words.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

constexpr const char* kUnit = "nats per token";

double nats_of(const AblationPoint& point) { return point.score.total.nats_per_token(); }

using Studied = std::vector<std::pair<const RunReport*, const Ablation*>>;

charts::Figure curves(const Runs& runs, const Studied& studied, const AblationWords& words) {
  charts::LineChart chart{words.heading, words.x_label, kUnit};
  chart.names = names_of(runs);
  for (const auto& [run, ablation] : studied) {
    charts::Series series{run->name, {}, {}};
    for (const AblationPoint& point : ablation->points) {
      series.x.push_back(point.x);
      series.y.push_back(nats_of(point));
    }
    chart.points.push_back(std::move(series));
  }
  return draw(chart);
}

// A row for each state that any of the models was put into; another model's states may be others.
charts::Figure states(const Studied& studied, const AblationWords& words) {
  charts::DotChart chart{words.heading, kUnit, {}, true};
  for (const auto& [run, ablation] : studied) {
    for (const AblationPoint& point : ablation->points) {
      auto row =
          std::find_if(chart.rows.begin(), chart.rows.end(), [&](const auto& r) { return r.label == point.label; });
      if (row == chart.rows.end()) row = chart.rows.insert(chart.rows.end(), {point.label, {}, {}});
      row->names.push_back(run->name);
      row->values.push_back(nats_of(point));
    }
  }
  return draw(chart);
}

std::string fixed(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string table(const Studied& studied) {
  std::vector<charts::HtmlRow> rows;
  for (const auto& [run, ablation] : studied) {
    for (const AblationPoint& point : ablation->points) {
      rows.push_back({{charts::escape_html(run->name), charts::escape_html(point.label), fixed("%.4f", nats_of(point)),
                       fixed("%+.4f", ablation->rise(point)),
                       point.score.rise_error ? fixed("%.4f", *point.score.rise_error) : ""}});
    }
  }
  return charts::html_table({"run", "experts", "loss (nats/token)", "rise", "s.e. of the rise"}, rows);
}

}  // namespace

void add_ablations(const Runs& runs, charts::Page& page) {
  for (const AblationWords& words : ablation_words()) {
    Studied studied;
    for (const RunReport& run : runs) {
      const auto found = run.ablations.find(words.kind);
      if (found != run.ablations.end()) studied.emplace_back(&run, &found->second);
    }
    if (studied.empty()) continue;
    page.section(words.heading);
    page.add(std::string("<p>") + words.meaning + "</p>\n");
    page.add(words.kind == AblationKind::kShared ? states(studied, words) : curves(runs, studied, words));
    page.add(table(studied));
  }
}

}  // namespace dsmoe::study
