// What the finished runs say of a claim's two sides: a difference, and how sure it is (statistics.h).
#pragma once

#include <optional>
#include <vector>

#include "compare/plan.h"
#include "compare/result.h"
#include "compare/run_studies.h"

namespace dsmoe::compare {

/// A finished run and, where it was studied, its studies.
struct Finished {
  const RunResult* result = nullptr;
  const RunStudies* studies = nullptr;
};

struct Evidence {
  std::optional<double> advantage;       ///< the other side's figure less that of the claim's arm; nats per token
  std::optional<double> standard_error;  ///< nothing without degrees of freedom
  int freedom = 0;
  double residual = 0;  ///< pooled standard deviation of a figure, column and seed apart
  int columns = 0;      ///< what the fit compared: arms, times two where the sides are different figures
};

/// What a loss was taken on. A study reads a part of the validation split (`study_tokens`), so that losses of the two
/// are not to be subtracted.
enum class Text { kValidationSplit, kStudy };

/// Of the split there is the untouched model's loss alone. Nothing where the run was not studied so.
std::optional<double> value_of(const Figure& figure, const Finished& run, Text text);

/// Both sides are of one text: the validation split where both are plain losses, else the studies' own, on which the
/// untouched model was scored too. The residual variance is pooled over all arms that have the claim's figures, not
/// over its two sides alone.
Evidence evidence_of(const Plan& plan, const Claim& claim, const std::vector<Finished>& runs);
/// Of two arms' losses: what the page says of the scatter of all.
Evidence evidence_of_losses(const Plan& plan, const std::vector<Finished>& runs);

}  // namespace dsmoe::compare
