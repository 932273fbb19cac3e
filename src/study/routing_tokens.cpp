#include "study/routing_tokens.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace dsmoe::study {
namespace {

constexpr int64_t kFewest = 3;  // occurrences with an expert that are worth a line

// One token's pick of one expert; sorted, the picks of an expert lie together, of those one token's, in order.
struct Pick {
  uint16_t expert;
  int32_t id;
  int64_t token;
  auto operator<=>(const Pick&) const = default;
};

std::vector<Pick> sorted_picks(const RoutingTrace& trace, size_t layer) {
  std::vector<Pick> picks;
  picks.reserve(trace.experts[layer].size());
  for (int64_t t = 0; t < trace.size(); ++t) {
    for (const uint16_t expert : trace.picks(layer, t)) {
      if (expert != kNoExpert) picks.push_back({expert, trace.tokens[static_cast<size_t>(t)], t});
    }
  }
  std::ranges::sort(picks);
  return picks;
}

using Occurrences = std::unordered_map<int32_t, int64_t>;

// What one expert's picks, sorted, say of its tokens.
ExpertTokens tokens_of(std::span<const Pick> picks, const Occurrences& occurrences, int64_t all, size_t most) {
  ExpertTokens out;
  out.picks = std::ssize(picks);
  const double chance = static_cast<double>(out.picks) / static_cast<double>(all);
  for (auto begin = picks.begin(); begin != picks.end();) {
    const auto end = std::find_if(begin, picks.end(), [&](const Pick& pick) { return pick.id != begin->id; });
    ExpertToken token;
    token.id = begin->id;
    token.count = end - begin;
    token.share = static_cast<double>(token.count) / static_cast<double>(occurrences.at(token.id));
    token.lift = token.share / chance;
    token.example = (begin + token.count / 2)->token;
    if (token.count >= kFewest && token.lift > 1) out.tokens.push_back(token);
    begin = end;
  }
  const auto adds = [](const ExpertToken& token) { return static_cast<double>(token.count) * std::log2(token.lift); };
  const auto shown = std::min(most, out.tokens.size());
  std::partial_sort(out.tokens.begin(), out.tokens.begin() + static_cast<std::ptrdiff_t>(shown), out.tokens.end(),
                    [&](const ExpertToken& a, const ExpertToken& b) {
                      return std::pair(-adds(a), a.id) < std::pair(-adds(b), b.id);
                    });
  out.tokens.resize(shown);
  return out;
}

}  // namespace

std::vector<std::vector<ExpertTokens>> tokens_by_expert(const RoutingTrace& trace, size_t most,
                                                        const base::ParallelFor& parallel) {
  Occurrences occurrences;
  for (const int32_t id : trace.tokens) ++occurrences[id];
  std::vector<std::vector<ExpertTokens>> out(trace.layers.size(),
                                             std::vector<ExpertTokens>(static_cast<size_t>(trace.n_routed_experts)));
  parallel(static_cast<int64_t>(out.size()), 1, [&](int64_t first, int64_t last) {
    for (auto layer = static_cast<size_t>(first); layer < static_cast<size_t>(last); ++layer) {
      const std::vector<Pick> picks = sorted_picks(trace, layer);
      for (size_t e = 0; e < out[layer].size(); ++e) {
        const auto own = std::ranges::equal_range(picks, static_cast<uint16_t>(e), {}, &Pick::expert);
        out[layer][e] = tokens_of({own.begin(), own.end()}, occurrences, trace.size(), most);
      }
    }
  });
  return out;
}

}  // namespace dsmoe::study
