// What the runs say of a plan's claims: holds, does not hold, or not decided at this size.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compare/evidence.h"
#include "compare/plan.h"

namespace dsmoe::compare {

enum class Verdict { kHolds, kDoesNotHold, kNotDecided };
std::string_view verdict_text(Verdict verdict);

/// One claim with its evidence. All figures in nats per token; positive: the claim's arm is the better one.
struct ClaimResult {
  Claim claim;
  std::optional<double> advantage;  ///< loss(against) - loss(arm)
  std::optional<double> low, high;  ///< its interval, at Holm's level for this claim among the page's
  std::optional<double> p;  ///< two-sided, of no difference (kLower) or of one that equals the margin (kNoHigher)
  Verdict verdict = Verdict::kNotDecided;
  /// Seeds that would make the interval narrow enough to decide, if the difference stayed as it is; nothing where it is
  /// decided, or where no number up to 1,000 would.
  std::optional<int> seeds_to_decide;
};

/// A claim of kLower holds where the whole interval is above 0 and does not hold where it lies below `smallest_effect`:
/// an advantage too small to matter is none. A claim of kNoHigher holds where the interval is above -margin and does
/// not hold where it is below. Family-wise error over all claims: `alpha`.
///
/// `evidence` is of the plan's claims, in their order (evidence.h).
std::vector<ClaimResult> test_claims(const Plan& plan, const std::vector<Evidence>& evidence, double alpha = 0.05);

}  // namespace dsmoe::compare
