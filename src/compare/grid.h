// A plan's grids: every arm with every value of a setting, of a size, or of a budget.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "compare/plan.h"

namespace dsmoe::compare {

/// One [[grid]] of a plan.
struct GridAxis {
  /// `section.key` of dsmoe train; `size`, put in place of {size} in every arm's preset; or `tokens` of a run.
  std::string key;
  std::vector<std::string> values;
};

/// Throws Error(kInvalid) naming `where` for a key that the plan derives itself, no values, or tokens that are no
/// count.
GridAxis grid_axis_of(const base::Json& json, const std::string& where);

/// Every arm with every combination of the axes, the last axis fastest. Arms that share their values of the axes `size`
/// and `tokens` share their `group`.
/// Throws Error(kInvalid) above 200 arms, where {size} and an axis `size` are not there together, or where an arm has
/// tokens of its own beside an axis of them.
std::vector<Arm> spread(const std::vector<Arm>& arms, const std::vector<GridAxis>& axes);

/// Throws Error(kInvalid) naming `where` and the key where `settings` has one that follows from the rest of the plan.
void refuse_derived_settings(const Settings& settings, const std::string& where);

}  // namespace dsmoe::compare
