// What each arm of a comparison costs, and whether the arms may be compared: the same tokens, and parameters and FLOPs
// within the plan's tolerance unless the plan names what differs.
#pragma once

#include <string>
#include <vector>

#include "compare/plan.h"
#include "spec/counts.h"
#include "spec/settings.h"

namespace dsmoe::compare {

/// One arm, resolved for one seed.
struct Run {
  const Arm* arm = nullptr;
  int64_t seed = 0;
  spec::ResolvedConfig config;  ///< without data.path and output.dir
  Settings settings;            ///< everything after the preset, as dsmoe train takes it
  std::string name() const { return arm->name + "-seed" + std::to_string(seed); }
};

struct Budget {
  int64_t steps = 0, tokens = 0;
  spec::ParameterCount total, activated;
  double flops_per_sequence = 0;
  double flops = 0;  ///< of the whole run, forward and backward
  /// Router included; embedding and head apart, since at small sizes they outweigh the blocks.
  int64_t total_of_blocks() const { return total.total() - total.embedding - total.head; }
  int64_t activated_of_blocks() const { return activated.total() - activated.embedding - activated.head; }
};

/// All runs of a plan: all arms of the first seed, then of the second, so that a comparison that is cut short has as
/// many whole seeds as possible. Throws Error(kInvalid) for settings that do not resolve.
std::vector<Run> runs_of(const Plan& plan);
std::vector<Run> runs_of(Plan&& plan) = delete;  // runs point into their plan
Budget budget_of(const spec::RunConfig& config);

/// Throws Error(kInvalid) with both figures where two arms of one size and budget (Arm::group) differ in tokens, or by
/// more than the tolerance in FLOPs or in parameters of the blocks, in total or activated, and the plan does not name
/// that as unequal.
void require_equal_budgets(const Plan& plan, const std::vector<Run>& runs);

}  // namespace dsmoe::compare
