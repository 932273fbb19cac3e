#include "compare/budget.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "base/error.h"

namespace dsmoe::compare {
namespace {

Run run_of(const Plan& plan, const Arm& arm, int64_t seed) {
  Run run{&arm, seed, {}, plan.settings};
  run.settings.insert(run.settings.end(), arm.settings.begin(), arm.settings.end());
  run.settings.push_back("train.seed=" + std::to_string(seed));
  const spec::TrainConfig train = spec::resolve(arm.preset, run.settings).config.train;
  const auto tokens = static_cast<double>(arm.tokens > 0 ? arm.tokens : plan.tokens);
  const double steps = std::round(tokens / static_cast<double>(train.tokens_per_step()));
  const auto whole = static_cast<int64_t>(std::max(1.0, steps));
  run.settings.push_back("train.steps=" + std::to_string(whole));
  run.settings.push_back("train.warmup_steps=" +
                         std::to_string(static_cast<int64_t>(std::round(plan.warmup * static_cast<double>(whole)))));
  run.config = spec::resolve(arm.preset, run.settings);
  return run;
}

std::string whole(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

struct Measure {
  const char* name;
  const char* words;
  double (*of)(const Budget&);
};

constexpr Measure kMeasures[] = {{"tokens", "tokens", [](const Budget& b) { return static_cast<double>(b.tokens); }},
                                 {"total_parameters", "parameters of the blocks in total",
                                  [](const Budget& b) { return static_cast<double>(b.total_of_blocks()); }},
                                 {"activated_parameters", "activated parameters of the blocks",
                                  [](const Budget& b) { return static_cast<double>(b.activated_of_blocks()); }},
                                 {"flops", "training FLOPs", [](const Budget& b) { return b.flops; }}};

// Of the runs of one size and budget.
void require_equal(const Plan& plan, const std::vector<const Run*>& runs) {
  const Run& first_run = *runs.front();
  const Budget first = budget_of(first_run.config.config);
  for (const Measure& measure : kMeasures) {
    if (std::find(plan.unequal.begin(), plan.unequal.end(), measure.name) != plan.unequal.end()) continue;
    const double tolerance = std::string_view(measure.name) == "tokens" ? 0 : plan.tolerance;
    const double expected = measure.of(first);
    for (const Run* run : runs) {
      const double found = measure.of(budget_of(run->config.config));
      if (std::abs(found - expected) <= tolerance * expected) continue;
      base::fail_invalid(
          "compare", std::string("arms must have equal ") + measure.words,
          whole(expected) + " (" + first_run.arm->name + ") and " + whole(found) + " (" + run->arm->name + ")",
          std::string("unequal = [\"") + measure.name + "\"] in the plan allows it, and the page says so");
    }
  }
}

}  // namespace

std::vector<Run> runs_of(const Plan& plan) {
  std::vector<Run> runs;
  for (const int64_t seed : plan.seeds) {
    for (const Arm& arm : plan.arms) runs.push_back(run_of(plan, arm, seed));
  }
  return runs;
}

Budget budget_of(const spec::RunConfig& config) {
  Budget budget;
  budget.steps = config.train.steps;
  budget.tokens = config.train.steps * config.train.tokens_per_step();
  budget.total = spec::count_parameters(config.model);
  budget.activated = spec::count_activated(config.model);
  budget.flops_per_sequence = spec::flops_per_sequence(config.model, config.train.sequence_length);
  // The paper's count leaves the router out; here it is a few percent of the blocks and counts: 6 FLOPs a value.
  budget.flops_per_sequence +=
      6.0 * static_cast<double>(config.train.sequence_length) * static_cast<double>(budget.activated.router);
  budget.flops =
      budget.flops_per_sequence * static_cast<double>(config.train.global_batch) * static_cast<double>(budget.steps);
  return budget;
}

void require_equal_budgets(const Plan& plan, const std::vector<Run>& runs) {
  std::map<std::string, std::vector<const Run*>> groups;
  for (const Run& run : runs) groups[run.arm->group].push_back(&run);
  for (const auto& [group, members] : groups) require_equal(plan, members);
}

}  // namespace dsmoe::compare
