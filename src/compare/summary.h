// What a comparison's results come to: a row for each arm, the claims tested. Tables and pages only print it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compare/budget.h"
#include "compare/evidence.h"
#include "compare/result.h"
#include "compare/verdict.h"

namespace dsmoe::compare {

struct ArmRow {
  const Arm* arm = nullptr;
  Budget budget;
  std::vector<const RunResult*> runs;      ///< finished ones, by seed
  std::vector<const RunStudies*> studies;  ///< of those that were studied, by seed
  std::optional<double> nats, bits;        ///< means over the finished seeds: nats per token, bits per byte
  double seconds = 0;                      ///< of training, mean
  int spikes = 0;                          ///< of all runs
  double max_vio = 0;                      ///< mean; of dense models 0
  bool best = false;  ///< the lowest loss of its family at its size and budget, where a grid made several
};

struct Summary {
  const Plan* plan = nullptr;
  std::vector<ArmRow> rows;  ///< in the plan's order
  std::vector<ClaimResult> claims;
  double residual = 0;  ///< pooled standard deviation of a run's loss, seed and arm apart; nats
  int freedom = 0;
  size_t finished = 0, planned = 0;    ///< runs
  bool equal_tokens = true;            ///< of all arms
  std::set<std::string> groups;        ///< sizes and budgets (Arm::group)
  bool equal_tokens_in_groups = true;  ///< of the arms of each
};

/// `results` and `studies` must outlive the summary. Throws Error(kInvalid) for results of other runs than the plan's.
Summary summarise(const Plan& plan, const std::vector<Run>& runs, const std::vector<RunResult>& results,
                  const std::vector<RunStudies>& studies = {});

/// The first line of every page: what was compared, and what was not equal.
std::string basis(const Summary& summary);
/// One sentence on a claim: verdict, figures, what would decide it.
std::string sentence(const ClaimResult& tested);

}  // namespace dsmoe::compare
