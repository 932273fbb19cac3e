#include "compare/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/error.h"

namespace dsmoe::compare {
namespace {

// "deepseekmoe (shared experts dropped)"
std::string side(const std::string& arm, const Figure& figure) {
  const std::string words = words_of(figure);
  return words.empty() ? arm : arm + " (" + words + ")";
}

std::string nats(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.4f", value);
  return text;
}

const RunStudies* studies_of(const std::vector<RunStudies>& studies, const RunResult& result) {
  for (const RunStudies& one : studies) {
    if (one.arm == result.arm && one.seed == result.seed) return &one;
  }
  return nullptr;
}

ArmRow row_of(const Arm& arm, const std::vector<Run>& runs, const std::vector<RunResult>& results,
              const std::vector<RunStudies>& studies) {
  ArmRow row;
  row.arm = &arm;
  double nats_sum = 0, bits_sum = 0;
  for (const Run& run : runs) {
    if (run.arm != &arm) continue;
    row.budget = budget_of(run.config.config);
    for (const RunResult& result : results) {
      if (result.arm != arm.name || result.seed != run.seed) continue;
      require_result_of(result, run, run.name());
      row.runs.push_back(&result);
      if (const RunStudies* one = studies_of(studies, result)) row.studies.push_back(one);
      nats_sum += result.score.nats_per_token;
      bits_sum += result.score.bits_per_byte;
      row.seconds += result.seconds;
      row.spikes += result.spikes;
      row.max_vio += result.max_vio;
    }
  }
  if (row.runs.empty()) return row;
  const auto count = static_cast<double>(row.runs.size());
  row.nats = nats_sum / count;
  row.bits = bits_sum / count;
  row.seconds /= count;
  row.max_vio /= count;
  return row;
}

void mark_best(std::vector<ArmRow>& rows) {
  for (ArmRow& row : rows) {
    size_t members = 0;
    bool lowest = row.nats.has_value();
    for (const ArmRow& other : rows) {
      if (other.arm->family != row.arm->family || other.arm->group != row.arm->group) continue;
      ++members;
      if (row.nats && other.nats && *other.nats < *row.nats) lowest = false;
    }
    row.best = members > 1 && lowest;
  }
}

}  // namespace

Summary summarise(const Plan& plan, const std::vector<Run>& runs, const std::vector<RunResult>& results,
                  const std::vector<RunStudies>& studies) {
  Summary summary;
  summary.plan = &plan;
  summary.planned = runs.size();
  for (const RunResult& result : results) {
    const auto known = [&](const Run& run) { return run.arm->name == result.arm && run.seed == result.seed; };
    if (std::none_of(runs.begin(), runs.end(), known)) {
      base::fail_invalid("compare", "a result is of no run of the plan",
                         result.arm + ", seed " + std::to_string(result.seed));
    }
  }
  std::vector<Finished> finished;
  std::set<int64_t> tokens;
  std::set<std::pair<std::string, int64_t>> tokens_of_groups;
  for (const Arm& arm : plan.arms) {
    summary.rows.push_back(row_of(arm, runs, results, studies));
    tokens.insert(summary.rows.back().budget.tokens);
    tokens_of_groups.emplace(arm.group, summary.rows.back().budget.tokens);
    summary.groups.insert(arm.group);
    for (const RunResult* result : summary.rows.back().runs) finished.push_back({result, studies_of(studies, *result)});
  }
  summary.finished = finished.size();
  summary.equal_tokens = tokens.size() == 1;
  summary.equal_tokens_in_groups = tokens_of_groups.size() == summary.groups.size();
  mark_best(summary.rows);
  const Evidence losses = evidence_of_losses(plan, finished);
  summary.residual = losses.residual;
  summary.freedom = losses.freedom;
  std::vector<Evidence> evidence;
  for (const Claim& claim : plan.claims) evidence.push_back(evidence_of(plan, claim, finished));
  summary.claims = test_claims(plan, evidence);
  return summary;
}

std::string basis(const Summary& summary) {
  const Plan& plan = *summary.plan;
  std::string out =
      summary.equal_tokens ? "Every arm learnt from the same " + std::to_string(summary.rows.front().budget.tokens) +
                                 " tokens in the same order"
      : summary.groups.size() > 1 && summary.equal_tokens_in_groups
          ? "Within each of " + std::to_string(summary.groups.size()) +
                " sizes and budgets every arm learnt from the same tokens in the same order; between them "
                "the tokens differ"
          : "The arms did not learn from equal numbers of tokens";
  out += ", " + std::to_string(plan.seeds.size()) + (plan.seeds.size() == 1 ? " seed" : " seeds") + " each";
  std::vector<std::string> others;
  for (const std::string& name : plan.unequal) {
    if (name != "tokens")
      others.push_back(name == "flops"              ? "FLOPs"
                       : name == "total_parameters" ? "total parameters"
                                                    : "activated parameters");
  }
  for (size_t i = 0; i < others.size(); ++i) {
    out += i == 0 ? "; not equal between arms: " : ", ";
    out += others[i];
  }
  if (summary.finished < summary.planned) {
    out += "; " + std::to_string(summary.finished) + " of " + std::to_string(summary.planned) + " runs are finished";
  }
  return out + ".";
}

std::string sentence(const ClaimResult& tested) {
  if (!tested.advantage) return "not measured yet";
  std::string out(verdict_text(tested.verdict));
  out += ": " + nats(*tested.advantage) + " nats a token in favour of " + side(tested.claim.arm, tested.claim.figure) +
         " over " + side(tested.claim.against, tested.claim.against_figure);
  if (!tested.low) return out + "; one seed gives no interval";
  out += ", interval " + nats(*tested.low) + " to " + nats(*tested.high);
  if (tested.verdict == Verdict::kNotDecided) {
    out += tested.seeds_to_decide
               ? "; " + std::to_string(*tested.seeds_to_decide) + " seeds would decide a difference of this size"
               : "; no number of seeds up to 1,000 would decide a difference of this size";
  }
  return out;
}

}  // namespace dsmoe::compare
