#include "traffic/figures.h"

#include <algorithm>

namespace dsmoe::traffic {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](size_t percent) { return values[(values.size() - 1) * percent / 100]; };
  return {at(50), at(90), at(99), values.back()};
}

LoadFigures figures_of(std::span<const Served> all, double seconds) {
  LoadFigures figures;
  figures.asked = std::ssize(all);
  std::vector<double> first, between, whole, refusals;
  for (const Served& one : all) {
    const bool complete = one.outcome == Outcome::kComplete;
    figures.complete += complete;
    figures.refused += one.outcome == Outcome::kRefused;
    figures.late += one.outcome == Outcome::kLate;
    figures.failed += one.outcome == Outcome::kFailed;
    if (one.outcome == Outcome::kRefused) refusals.push_back(one.end - one.due);
    if (complete && one.end <= seconds) figures.requests_per_second += 1 / seconds;
    // A piece of text may be more than a token, or less: the answer's tokens are shared out among its pieces.
    const auto in_time = std::count_if(one.texts.begin(), one.texts.end(), [&](double at) { return at <= seconds; });
    const double share = one.texts.empty() ? 0 : static_cast<double>(in_time) / static_cast<double>(one.texts.size());
    const double rate = share * static_cast<double>(one.tokens) / seconds;
    figures.tokens_per_second += rate;
    if (!complete) continue;
    figures.goodput += rate;
    whole.push_back(one.end - one.due);
    if (!one.texts.empty()) first.push_back(one.texts.front() - one.due);
    for (size_t i = 1; i < one.texts.size(); ++i) between.push_back(one.texts[i] - one.texts[i - 1]);
  }
  figures.first_token = spread_of(std::move(first));
  figures.between_tokens = spread_of(std::move(between));
  figures.whole = spread_of(std::move(whole));
  figures.refusal = spread_of(std::move(refusals));
  return figures;
}

}  // namespace dsmoe::traffic
