// How early in training routers choose as they do at its end.
#include <algorithm>
#include <cmath>

#include "charts/lines.h"
#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

constexpr size_t kMostLayers = 12;  // curves that a person can tell apart

// The layers that get a curve: all, or evenly among them with the first and the last.
std::vector<size_t> shown_layers(size_t layers) {
  std::vector<size_t> shown;
  const size_t count = std::min(layers, kMostLayers);
  for (size_t i = 0; i < count; ++i) shown.push_back(count == 1 ? 0 : i * (layers - 1) / (count - 1));
  return shown;
}

charts::Figure by_layer(const RunReport& run) {
  const RouterSaturation& saturation = *run.saturation;
  charts::LineChart chart{"Choices that the last checkpoint makes too, " + run.name, "step", "% of picks"};
  for (const size_t l : shown_layers(saturation.layers.size())) {
    charts::Series series{"layer " + std::to_string(saturation.layers[l]), {}, {}};
    for (const RouterSaturation::Point& point : saturation.points) {
      series.x.push_back(static_cast<double>(point.step));
      series.y.push_back(100 * point.agreement[l]);
    }
    chart.points.push_back(std::move(series));
  }
  charts::Series chance{"by chance", {}, {}};
  for (const RouterSaturation::Point& point : saturation.points) {
    double sum = 0;
    for (const double value : point.chance) sum += value;
    chance.x.push_back(static_cast<double>(point.step));
    chance.y.push_back(100 * sum / static_cast<double>(point.chance.size()));
  }
  chart.points.push_back(std::move(chance));
  chart.note = "By chance: two routers of these loads that know nothing of each other, mean over layers.";
  return draw(chart);
}

// Chance taken out, so that models of any granularity can stand in one figure.
charts::Figure above_chance(const Runs& runs) {
  charts::LineChart chart{"How far the routers have settled", "step", "% of the way from chance"};
  chart.names = names_of(runs);
  for (const RunReport& run : runs) {
    if (!run.saturation || run.saturation->layers.empty()) continue;
    charts::Series series{run.name, {}, {}};
    for (const RouterSaturation::Point& point : run.saturation->points) {
      double sum = 0;
      for (size_t l = 0; l < point.agreement.size(); ++l) {
        sum += (point.agreement[l] - point.chance[l]) / std::max(1 - point.chance[l], 1e-9);
      }
      series.x.push_back(static_cast<double>(point.step));
      series.y.push_back(100 * sum / static_cast<double>(point.agreement.size()));
    }
    chart.points.push_back(std::move(series));
  }
  chart.note =
      "0 %: as two routers agree that know nothing of each other. 100 %: every choice as at the end. Mean over "
      "layers.";
  return draw(chart);
}

}  // namespace

void add_saturation(const Runs& runs, charts::Page& page) {
  std::vector<charts::Figure> figures;
  for (const RunReport& run : runs) {
    if (run.saturation && !run.saturation->layers.empty()) figures.push_back(by_layer(run));
  }
  if (figures.empty()) return;
  page.section("When the routers had settled");
  if (figures.size() > 1) figures.insert(figures.begin(), above_chance(runs));
  page.add(figures);
}

}  // namespace dsmoe::study
