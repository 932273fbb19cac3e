#include "compare/page_studies.h"

#include <cmath>
#include <cstdio>
#include <map>

#include "charts/lines.h"
#include "charts/table.h"
#include "charts/text.h"
#include "study/ablation_words.h"

namespace dsmoe::compare {
namespace {

using study::Ablation;
using study::AblationKind;

// One state of an arm's models, over the seeds.
struct State {
  std::string label;
  double x = 0, nats = 0, rise = 0;
  int seeds = 0;
};

std::vector<State> states_of(const ArmRow& row, AblationKind kind) {
  std::vector<State> states;
  for (const RunStudies* studies : row.studies) {
    for (const Ablation& ablation : studies->ablations) {
      if (ablation.kind != kind) continue;
      for (size_t i = 0; i < ablation.points.size(); ++i) {
        const study::AblationPoint& point = ablation.points[i];
        if (states.size() <= i) states.push_back({point.label, point.x, 0, 0, 0});
        states[i].nats += point.score.total.nats_per_token();
        states[i].rise += ablation.rise(point);
        ++states[i].seeds;
      }
    }
  }
  for (State& state : states) state.nats /= state.seeds, state.rise /= state.seeds;
  return states;
}

std::string fixed(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Rows of text: a head, then one for each state of each arm; empty where no arm was studied so.
std::vector<std::vector<std::string>> table_of(const Summary& summary, AblationKind kind) {
  std::vector<std::vector<std::string>> rows;
  for (const ArmRow& row : summary.rows) {
    for (const State& state : states_of(row, kind)) {
      rows.push_back({row.arm->label, state.label, std::to_string(state.seeds), fixed("%.4f", state.nats),
                      fixed("%+.4f", state.rise)});
    }
  }
  if (!rows.empty()) rows.insert(rows.begin(), {"arm", "experts", "seeds", "loss (nats/token)", "rise"});
  return rows;
}

// An arm and a task's own metric, averaged over the seeds.
std::vector<std::vector<std::string>> task_table(const Summary& summary) {
  std::vector<std::vector<std::string>> rows;
  for (const ArmRow& row : summary.rows) {
    std::map<std::string, std::vector<const TaskFigure*>> by_task;
    for (const RunStudies* studies : row.studies) {
      for (const TaskFigure& task : studies->tasks) by_task[task.task].push_back(&task);
    }
    for (const auto& [name, figures] : by_task) {
      // Every seed's model answers the same items, so that more seeds do not make the items more: the error of the mean
      // over seeds is at most the mean of their errors.
      double mean = 0, error = 0;
      for (const TaskFigure* figure : figures) {
        mean += figure->mean / static_cast<double>(figures.size());
        error += figure->standard_error / static_cast<double>(figures.size());
      }
      const double chance = figures.front()->chance;
      std::string beside = "-";
      if (chance > 0) {
        // 1.96 standard errors on both sides: a figure whose interval includes chance says nothing of the arm.
        beside = std::abs(mean - chance) <= 1.96 * error ? "at chance"
                 : mean > chance                         ? "above chance"
                                                         : "below chance";
        beside += " (" + fixed("%.3f", chance) + ")";
      }
      rows.push_back({row.arm->label, name, figures.front()->metric, std::to_string(figures.front()->items),
                      fixed("%.4f", mean), fixed("%.4f", error), beside});
    }
  }
  if (!rows.empty()) rows.insert(rows.begin(), {"arm", "task", "metric", "items", "mean", "s.e.", "chance"});
  return rows;
}

std::string html_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<charts::HtmlRow> escaped;
  for (const auto& row : rows) {
    escaped.emplace_back();
    for (const std::string& text : row) escaped.back().cells.push_back(charts::escape_html(text));
  }
  return charts::html_table(escaped.front().cells, {escaped.begin() + 1, escaped.end()});
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows) {
  std::string out;
  for (size_t i = 0; i < rows.size(); ++i) {
    out += "|";
    for (const std::string& cell : rows[i]) out += " " + cell + " |";
    out += "\n";
    if (i > 0) continue;
    out += "|";
    for (size_t c = 0; c < rows[0].size(); ++c) out += " --- |";
    out += "\n";
  }
  return out + "\n";
}

charts::Figure chart(const Summary& summary, const study::AblationWords& words) {
  charts::LineChart chart{words.heading, words.x_label, "nats per token"};
  chart.point_name = "mean over seeds";
  for (const ArmRow& row : summary.rows) {
    charts::Series series{row.arm->label, {}, {}};
    for (const State& state : states_of(row, words.kind)) {
      series.x.push_back(state.x);
      series.y.push_back(state.nats);
    }
    if (!series.x.empty()) chart.points.push_back(std::move(series));
  }
  return draw(chart);
}

}  // namespace

void add_studies(const Summary& summary, charts::Page& page) {
  for (const study::AblationWords& words : study::ablation_words()) {
    const auto rows = table_of(summary, words.kind);
    if (rows.empty()) continue;
    page.section(words.heading);
    page.add(std::string("<p>") + words.meaning + "</p>\n");
    if (words.kind != AblationKind::kShared) page.add(chart(summary, words));
    page.add(html_table(rows));
  }
  const auto tasks = task_table(summary);
  if (tasks.empty()) return;
  page.section("Tasks");
  page.add(html_table(tasks));
}

std::string studies_markdown(const Summary& summary) {
  std::string out;
  for (const study::AblationWords& words : study::ablation_words()) {
    const auto rows = table_of(summary, words.kind);
    if (rows.empty()) continue;
    out += std::string("## ") + words.heading + "\n\n" + words.meaning + "\n\n" + markdown_table(rows);
  }
  const auto tasks = task_table(summary);
  return tasks.empty() ? out : out + "## Tasks\n\n" + markdown_table(tasks);
}

}  // namespace dsmoe::compare
