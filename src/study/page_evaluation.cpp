// Scores on text kept out of training, by domain.
#include <algorithm>
#include <cmath>

#include "charts/bars.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

constexpr size_t kMostBars = 6;  // runs; more are dots on one line for each domain

// "all" first, then the domains from the easiest to the hardest.
std::vector<std::string> sorted_domains(const std::vector<const RunReport::Scores*>& all) {
  const auto mean = [&](const std::string& domain) {
    double sum = 0, count = 0;
    for (const auto* scores : all) {
      const double bits = bits_of(*scores, domain);
      if (std::isfinite(bits)) sum += bits, ++count;
    }
    return count == 0 ? INFINITY : sum / count;
  };
  std::vector<std::string> names = domains_of(all);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    if (a == "all" || b == "all") return a == "all" && b != "all";
    return mean(a) < mean(b);
  });
  return names;
}

constexpr const char* kTitle = "Bits per byte by domain";
constexpr const char* kUnit = "bits per byte";

charts::Figure bars(const Runs& runs, const std::vector<const RunReport::Scores*>& all, const std::string& note) {
  charts::BarChart chart{kTitle, kUnit, sorted_domains(all), names_of(runs), {}, note};
  for (const auto* scores : all) {
    chart.values.emplace_back();
    for (const std::string& domain : chart.labels) chart.values.back().push_back(bits_of(*scores, domain));
  }
  return draw(chart);
}

charts::Figure dots(const Runs& runs, const std::vector<const RunReport::Scores*>& all, const std::string& note) {
  charts::DotChart chart{kTitle, kUnit, {}, true, note};
  for (const std::string& domain : sorted_domains(all)) {
    chart.rows.push_back({domain, names_of(runs), {}});
    for (const auto* scores : all) chart.rows.back().values.push_back(bits_of(*scores, domain));
  }
  return draw(chart);
}

}  // namespace

void add_evaluation(const Runs& runs, charts::Page& page) {
  const Measure::Kind kind = held_out_measure(runs).kind;
  std::vector<const RunReport::Scores*> all;
  for (const RunReport& run : runs) all.push_back(&scores_of(run, kind));
  if (domains_of(all).empty()) return;
  const std::string note = std::string(kind == Measure::Kind::kEvaluation ? "From each run's eval.json."
                                                                          : "From each run's last validation.") +
                           " Lower is better; raw text would take 8, and the tokenizer plays no part.";
  page.section("What they learnt");
  page.add(runs.size() > kMostBars ? dots(runs, all, note) : bars(runs, all, note));
}

}  // namespace dsmoe::study
