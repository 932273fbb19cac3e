#include "compare/evidence.h"

#include <algorithm>

#include "compare/statistics.h"

namespace dsmoe::compare {
namespace {

size_t index_of(const Plan& plan, const std::string& arm) {
  return static_cast<size_t>(&arm_named(plan, arm) - plan.arms.data());
}

// Columns of the fit: every arm's `figure`, then every arm's `other` where that is another one. Both are of one text.
std::vector<Observation> observations_of(const Plan& plan, const Figure& figure, const Figure& other,
                                         const std::vector<Finished>& runs) {
  const Text text = figure.is_loss() && other.is_loss() ? Text::kValidationSplit : Text::kStudy;
  std::vector<Observation> all;
  for (const Finished& run : runs) {
    const size_t arm = index_of(plan, run.result->arm);
    const auto seed = std::find(plan.seeds.begin(), plan.seeds.end(), run.result->seed) - plan.seeds.begin();
    const auto add = [&](size_t column, const std::optional<double>& value) {
      if (value) all.push_back({column, static_cast<size_t>(seed), *value});
    };
    add(arm, value_of(figure, run, text));
    if (!(other == figure)) add(plan.arms.size() + arm, value_of(other, run, text));
  }
  return all;
}

}  // namespace

std::optional<double> value_of(const Figure& figure, const Finished& run, Text text) {
  if (figure.is_loss() && text == Text::kValidationSplit) return run.result->score.nats_per_token;
  if (run.studies == nullptr) return std::nullopt;
  for (const study::Ablation& ablation : run.studies->ablations) {
    for (const study::AblationPoint& point : ablation.points) {
      if (!(point.intervention == figure.change)) continue;
      return figure.rise ? ablation.rise(point) : point.score.total.nats_per_token();
    }
  }
  return std::nullopt;
}

Evidence evidence_of(const Plan& plan, const Claim& claim, const std::vector<Finished>& runs) {
  const bool one_figure = claim.figure == claim.against_figure;
  const size_t columns = plan.arms.size() * (one_figure ? 1 : 2);
  const std::vector<Observation> observations = observations_of(plan, claim.figure, claim.against_figure, runs);
  const AdditiveFit fit(observations, columns, plan.seeds.size());
  const size_t arm = index_of(plan, claim.arm);
  const size_t against = index_of(plan, claim.against) + (one_figure ? 0 : plan.arms.size());
  return {fit.difference(against, arm), fit.standard_error(against, arm), fit.degrees_of_freedom(), fit.residual(),
          static_cast<int>(columns)};
}

Evidence evidence_of_losses(const Plan& plan, const std::vector<Finished>& runs) {
  const AdditiveFit fit(observations_of(plan, {}, {}, runs), plan.arms.size(), plan.seeds.size());
  return {std::nullopt, std::nullopt, fit.degrees_of_freedom(), fit.residual(), static_cast<int>(plan.arms.size())};
}

}  // namespace dsmoe::compare
