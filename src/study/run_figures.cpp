#include <algorithm>
#include <cmath>

#include "charts/text.h"
#include "study/page_sections.h"

namespace dsmoe::study {
namespace {

// Single steps scatter: the mean of the last twentieth, at most 50 steps.
double last_loss(const RunReport& run) {
  double sum = 0, count = 0;
  const double wanted = std::clamp(static_cast<double>(run.loss.size()) / 20, 1.0, 50.0);
  for (auto it = run.loss.rbegin(); it != run.loss.rend() && count < std::floor(wanted); ++it) {
    if (std::isfinite(*it)) sum += *it, ++count;
  }
  return count == 0 ? std::nan("") : sum / count;
}

double value_of(const RunReport& run, Measure::Kind kind) {
  if (kind == Measure::Kind::kTraining) return last_loss(run);
  return bits_of(scores_of(run, kind), "all");
}

}  // namespace

std::vector<std::string> names_of(const Runs& runs) {
  std::vector<std::string> names;
  for (const RunReport& run : runs) names.push_back(run.name);
  return names;
}

std::string millions(double value) {
  if (value < 1e5) return charts::short_number(value);
  return charts::short_number(std::round(value / 1e4) / 100) + " M";
}

double last_finite(const std::vector<double>& values) {
  const auto found = std::find_if(values.rbegin(), values.rend(), [](double v) { return std::isfinite(v); });
  return found == values.rend() ? std::nan("") : *found;
}

std::vector<std::string> domains_of(const std::vector<const RunReport::Scores*>& all) {
  std::vector<std::string> names;
  for (const RunReport::Scores* scores : all) {
    for (const auto& domain : *scores) {
      if (std::find(names.begin(), names.end(), domain.name) == names.end()) names.push_back(domain.name);
    }
  }
  return names;
}

double bits_of(const RunReport::Scores& scores, const std::string& domain) {
  for (const auto& scored : scores) {
    if (scored.name == domain) return scored.bits_per_byte;
  }
  return std::nan("");
}

const RunReport::Scores& scores_of(const RunReport& run, Measure::Kind kind) {
  static const RunReport::Scores kNone;
  if (kind == Measure::Kind::kEvaluation) return run.evaluation;
  if (kind == Measure::Kind::kValidation && !run.validations.empty()) return run.validations.back().scores;
  return kNone;
}

namespace {

Measure measured(const Runs& runs, Measure::Kind kind) {
  const bool training = kind == Measure::Kind::kTraining;
  Measure measure{kind, training ? "nats per token of training loss" : "bits per byte on held-out text", {}};
  for (const RunReport& run : runs) measure.values.push_back(value_of(run, kind));
  return measure;
}

size_t finite(const Measure& measure) {
  return static_cast<size_t>(
      std::count_if(measure.values.begin(), measure.values.end(), [](double v) { return std::isfinite(v); }));
}

}  // namespace

Measure held_out_measure(const Runs& runs) {
  Measure evaluation = measured(runs, Measure::Kind::kEvaluation),
          validation = measured(runs, Measure::Kind::kValidation);
  return finite(validation) > finite(evaluation) ? validation : evaluation;
}

Measure measure_of(const Runs& runs) {
  Measure held_out = held_out_measure(runs);
  return finite(held_out) >= std::min<size_t>(runs.size(), 2) ? held_out : measured(runs, Measure::Kind::kTraining);
}

}  // namespace dsmoe::study
