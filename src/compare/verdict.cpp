#include "compare/verdict.h"

#include <cmath>

#include "compare/statistics.h"

namespace dsmoe::compare {
namespace {

Verdict verdict_of(const Claim& claim, double low, double high, double smallest_effect) {
  if (claim.expects == Expectation::kNoHigher) {
    if (low > -claim.margin) return Verdict::kHolds;
    return high < -claim.margin ? Verdict::kDoesNotHold : Verdict::kNotDecided;
  }
  if (low > 0) return Verdict::kHolds;
  return high < smallest_effect ? Verdict::kDoesNotHold : Verdict::kNotDecided;
}

// With n seeds of A columns the standard error is residual * sqrt(2 / n) at (A - 1)(n - 1) degrees of freedom.
std::optional<int> seeds_to_decide(const Plan& plan, const ClaimResult& tested, const Evidence& evidence,
                                   double level) {
  const int others = evidence.columns - 1;
  for (int n = static_cast<int>(plan.seeds.size()) + 1; n <= 1000; ++n) {
    const double half = critical_t(level, others * (n - 1)) * evidence.residual * std::sqrt(2.0 / n);
    if (verdict_of(tested.claim, *tested.advantage - half, *tested.advantage + half, plan.smallest_effect) !=
        Verdict::kNotDecided) {
      return n;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string_view verdict_text(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHolds:
      return "holds";
    case Verdict::kDoesNotHold:
      return "does not hold";
    case Verdict::kNotDecided:
      return "not decided at this size";
  }
  return "unknown";
}

std::vector<ClaimResult> test_claims(const Plan& plan, const std::vector<Evidence>& evidence, double alpha) {
  std::vector<ClaimResult> all;
  std::vector<double> p_values;
  for (size_t i = 0; i < plan.claims.size(); ++i) {
    const Claim& claim = plan.claims[i];
    const Evidence& found = evidence[i];
    ClaimResult tested{claim, found.advantage, {}, {}, {}, Verdict::kNotDecided, {}};
    if (found.advantage && found.standard_error) {
      const double from_null = *found.advantage + (claim.expects == Expectation::kNoHigher ? claim.margin : 0);
      tested.p = *found.standard_error > 0 ? two_sided_p(from_null / *found.standard_error, found.freedom)
                                           : (from_null == 0 ? 1.0 : 0.0);
    }
    p_values.push_back(tested.p.value_or(1.0));  // a claim without evidence still counts among the page's
    all.push_back(std::move(tested));
  }
  const std::vector<double> levels = holm_levels(p_values, alpha);
  for (size_t i = 0; i < all.size(); ++i) {
    ClaimResult& tested = all[i];
    if (!tested.p) continue;
    const double half = critical_t(levels[i], evidence[i].freedom) * *evidence[i].standard_error;
    tested.low = *tested.advantage - half;
    tested.high = *tested.advantage + half;
    tested.verdict = verdict_of(tested.claim, *tested.low, *tested.high, plan.smallest_effect);
    if (tested.verdict == Verdict::kNotDecided) {
      tested.seeds_to_decide = seeds_to_decide(plan, tested, evidence[i], levels[i]);
    }
  }
  return all;
}

}  // namespace dsmoe::compare
