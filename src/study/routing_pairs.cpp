#include "study/routing_pairs.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace dsmoe::study {
namespace {

ExpertPairs pairs_in(const RoutingTrace& trace, size_t layer) {
  ExpertPairs pairs;
  pairs.experts = trace.n_routed_experts;
  pairs.counts.assign(static_cast<size_t>(pairs.experts * pairs.experts), 0);
  for (int64_t t = 0; t < trace.size(); ++t) {
    const auto picks = trace.picks(layer, t);
    for (const uint16_t a : picks) {
      for (const uint16_t b : picks) {
        if (a != b && a != kNoExpert && b != kNoExpert) ++pairs.counts[pairs.at(a, b)];
      }
    }
  }
  pairs.expected = quasi_independent(pairs.counts, pairs.experts);
  const auto both = static_cast<double>(std::accumulate(pairs.counts.begin(), pairs.counts.end(), int64_t{0}));
  if (both == 0) return pairs;
  for (size_t i = 0; i < pairs.counts.size(); ++i) {
    const auto n = static_cast<double>(pairs.counts[i]);
    if (n > 0 && pairs.expected[i] > 0) pairs.bits += n / both * std::log2(n / pairs.expected[i]);
  }
  const auto E = static_cast<double>(pairs.experts);
  pairs.chance = std::max(0.0, (E * (E - 1) / 2 - E) / (both * std::numbers::ln2));  // both is 2 M
  return pairs;
}

}  // namespace

// a_i = row_i / (sum of the other a), again and again; the root of old times new keeps two experts that have only each
// other from changing places for ever.
std::vector<double> quasi_independent(const std::vector<int64_t>& counts, int64_t experts) {
  constexpr int kRounds = 200;
  const auto E = static_cast<size_t>(experts);
  std::vector<double> rows(E, 0.0), a(E);
  for (size_t i = 0; i < counts.size(); ++i) rows[i / E] += static_cast<double>(counts[i]);
  std::ranges::transform(rows, a.begin(), [](double row) { return std::sqrt(row); });
  for (int round = 0; round < kRounds; ++round) {
    double sum = std::accumulate(a.begin(), a.end(), 0.0);
    for (size_t i = 0; i < E; ++i) {
      const double others = sum - a[i];
      const double next = others > 0 ? std::sqrt(a[i] * rows[i] / others) : 0;
      sum += next - a[i];
      a[i] = next;
    }
  }
  std::vector<double> expected(counts.size(), 0.0);
  for (size_t i = 0; i < counts.size(); ++i) expected[i] = i / E == i % E ? 0 : a[i / E] * a[i % E];
  return expected;
}

double ExpertPairs::lift(int64_t a, int64_t b) const {
  return expected[at(a, b)] > 0 ? static_cast<double>(counts[at(a, b)]) / expected[at(a, b)] : 1;
}

std::vector<ExpertPair> ExpertPairs::strongest(size_t most) const {
  std::vector<ExpertPair> pairs;
  for (int32_t a = 0; a < experts; ++a) {
    for (int32_t b = a + 1; b < experts; ++b) {
      const ExpertPair pair{a, b, counts[at(a, b)], lift(a, b)};
      if (pair.lift > 1) pairs.push_back(pair);
    }
  }
  const auto adds = [](const ExpertPair& pair) { return static_cast<double>(pair.count) * std::log2(pair.lift); };
  const auto shown = static_cast<std::ptrdiff_t>(std::min(most, pairs.size()));
  std::partial_sort(pairs.begin(), pairs.begin() + shown, pairs.end(), [&](const ExpertPair& x, const ExpertPair& y) {
    return std::tuple(-adds(x), x.a, x.b) < std::tuple(-adds(y), y.a, y.b);
  });
  pairs.resize(static_cast<size_t>(shown));
  return pairs;
}

std::vector<ExpertPairs> pairs_of_experts(const RoutingTrace& trace, const base::ParallelFor& parallel) {
  const bool paired = trace.num_experts_per_tok > 1 && trace.n_routed_experts <= kMostPairedExperts;
  std::vector<ExpertPairs> out(paired ? trace.layers.size() : 0);
  parallel(static_cast<int64_t>(out.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto layer = static_cast<size_t>(begin); layer < static_cast<size_t>(end); ++layer) {
      out[layer] = pairs_in(trace, layer);
    }
  });
  return out;
}

}  // namespace dsmoe::study
