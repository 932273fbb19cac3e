// Specialisation by domain: what it says of routing that is known, and that it does not depend on granularity.
#include "study/routing_domains.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "study/routing_testing.h"

namespace dsmoe::study {
namespace {

using testing::draw, testing::make_trace, testing::split_experts, testing::TraceShape;

// Domain d likes expert e more the nearer they are; and every window has a liking of its own.
RoutingTrace liking_trace(const TraceShape& shape, double by_domain, double by_window) {
  return make_trace(shape, [=](base::Rng& rng, size_t domain, size_t window) {
    std::vector<double> weights;
    for (int64_t e = 0; e < shape.experts; ++e) {
      const auto x = static_cast<double>(e);
      weights.push_back(std::exp(by_domain * std::cos(x + 2 * static_cast<double>(domain)) +
                                 by_window * std::sin(3 * x + 5 * static_cast<double>(window * window))));
    }
    return draw(rng, shape, weights);
  });
}

// The mutual information of a pick and the domain, from the list of all picks in windows that are kept.
double plain_bits(const RoutingTrace& trace, size_t without) {
  const auto E = static_cast<size_t>(trace.n_routed_experts);
  std::vector<std::vector<double>> joint(trace.domains.size(), std::vector<double>(E, 0.0));
  for (size_t w = 0; w < trace.windows.size(); ++w) {
    if (w == without) continue;
    for (int64_t t = trace.windows[w].begin; t < trace.windows[w].end; ++t) {
      for (const uint16_t expert : trace.picks(0, t)) joint[trace.windows[w].domain][expert] += 1;
    }
  }
  std::vector<double> marginal(E, 0.0);
  for (auto& row : joint) {
    const double all = std::accumulate(row.begin(), row.end(), 0.0) * static_cast<double>(joint.size());
    for (size_t e = 0; e < E; ++e) marginal[e] += row[e] /= all;
  }
  double bits = 0;
  for (const auto& row : joint) {
    for (size_t e = 0; e < E; ++e) {
      if (row[e] > 0) bits += row[e] * std::log2(row[e] * static_cast<double>(joint.size()) / marginal[e]);
    }
  }
  return bits;
}

TEST(RoutingDomains, APickIsAsDefined) {
  const TraceShape shape{.experts = 9, .picks = 3, .domains = 3, .windows = 5, .window = 40};
  const RoutingTrace trace = liking_trace(shape, 0.5, 0.5);
  const double all = plain_bits(trace, trace.windows.size());
  double chance = 0, variance = 0;
  for (size_t domain = 0; domain < 3; ++domain) {
    std::vector<double> without;
    for (size_t w = 0; w < 5; ++w) without.push_back(plain_bits(trace, domain * 5 + w));
    const double mean = std::accumulate(without.begin(), without.end(), 0.0) / 5;
    chance += 4 * (mean - all);
    for (const double bits : without) variance += 4.0 / 5 * (bits - mean) * (bits - mean);
  }
  const DomainBits got = pick_bits(trace, 0);
  EXPECT_NEAR(got.bits, all, 1e-12);
  EXPECT_NEAR(got.bits, counts_of(trace).domain_information(0), 1e-12);
  EXPECT_NEAR(got.chance, chance, 1e-11);
  EXPECT_NEAR(got.deviation, std::sqrt(variance), 1e-11);
  EXPECT_DOUBLE_EQ(got.most, std::log2(3));
}

TEST(RoutingDomains, ExpertsSplitIntoIdenticalOnesChangeNothing) {
  const TraceShape shape{.experts = 8, .picks = 2, .domains = 5, .windows = 4, .window = 60};
  const RoutingTrace coarse = liking_trace(shape, 1, 0.3);
  const DomainBits pick = pick_bits(coarse, 0), token = token_bits(coarse, 0);
  EXPECT_GT(pick.share(), 0.03);
  EXPECT_GT(token.share(), 0.03);
  for (const int64_t parts : {2, 3, 7}) {
    const RoutingTrace fine = split_experts(coarse, parts);
    const DomainBits fine_pick = pick_bits(fine, 0), fine_token = token_bits(fine, 0);
    EXPECT_NEAR(fine_pick.bits, pick.bits, 1e-9);
    EXPECT_NEAR(fine_pick.chance, pick.chance, 1e-9);
    EXPECT_NEAR(fine_pick.most, pick.most, 1e-9);
    EXPECT_NEAR(fine_pick.deviation, pick.deviation, 1e-9);
    EXPECT_NEAR(fine_token.bits, token.bits, 1e-9);
    EXPECT_NEAR(fine_token.most, token.most, 1e-9);
  }
}

// Also where a domain is one window, and is worth its tokens.
TEST(RoutingDomains, ASingleWindowADomainChangesNothingEither) {
  const TraceShape shape{.windows = 1};
  const RoutingTrace coarse = liking_trace(shape, 1, 0.3);
  EXPECT_NEAR(pick_bits(split_experts(coarse, 4), 0).chance, pick_bits(coarse, 0).chance, 1e-12);
  EXPECT_NEAR(pick_bits(coarse, 0).chance, (8.0 / 2 - 1) / (2 * std::numbers::ln2) * 0.75 / 50, 1e-12);
}

TEST(RoutingDomains, RandomRoutingHasNoneWhateverTheGranularity) {
  for (const auto& [experts, picks] : std::vector<std::pair<int64_t, int64_t>>{{8, 1}, {16, 2}, {63, 7}, {32, 16}}) {
    const TraceShape shape{.experts = experts, .picks = picks, .domains = 5, .windows = 10, .window = 60};
    const RoutingTrace trace = make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); });
    const DomainBits pick = pick_bits(trace, 0), token = token_bits(trace, 0);
    const double expected =
        (static_cast<double>(experts) / static_cast<double>(picks) - 1) / (2 * std::numbers::ln2) * 0.8 / 600;
    EXPECT_NEAR(pick.chance, expected, 0.3 * expected) << experts;
    EXPECT_NEAR(pick.share(), 0, 0.001) << experts;
    EXPECT_LT(token.bits, 0.01) << experts;
  }
}

TEST(RoutingDomains, ExpertsOfTheirOwnAreAllThatIsPossible) {
  // As many groups of experts as domains, and fewer: then two domains share a group.
  for (const int64_t picks : {1, 3}) {
    for (const int64_t groups : {4, 2}) {
      const TraceShape shape{.experts = groups * picks, .picks = picks};
      const RoutingTrace trace = make_trace(shape, [&](base::Rng&, size_t domain, size_t) {
        std::vector<uint16_t> picked;
        for (int64_t k = 0; k < picks; ++k) {
          picked.push_back(static_cast<uint16_t>(static_cast<int64_t>(domain) % groups * picks + k));
        }
        return picked;
      });
      EXPECT_NEAR(pick_bits(trace, 0).share(), 1, 1e-9);
      EXPECT_NEAR(token_bits(trace, 0).bits, std::log2(groups), 0.05);
      EXPECT_LE(token_bits(trace, 0).bits, 2);
    }
  }
}

// Text is no shower of independent tokens: windows that each like experts of their own make domains look different.
TEST(RoutingDomains, LikingsOfWindowsAreNoSpecialisation) {
  const TraceShape shape{.experts = 16, .picks = 2, .domains = 6, .windows = 12, .window = 80};
  const DomainBits bits = pick_bits(liking_trace(shape, 0, 1.5), 0);
  EXPECT_GT(bits.bits, 5 * (16.0 / 2 - 1) / (2 * std::numbers::ln2) / (12 * 80)) << "or the test says nothing";
  EXPECT_NEAR(bits.bits - bits.chance, 0, 2 * bits.deviation);
  EXPECT_LT(bits.bits - bits.chance, bits.bits / 4);
}

// One pick of two tells the domain, the other nothing: a token tells all of it, a pick half.
TEST(RoutingDomains, ExpertsTogetherSayMoreThanEach) {
  const TraceShape shape{.experts = 4, .picks = 2, .domains = 2};
  const RoutingTrace trace = make_trace(shape, [](base::Rng& rng, size_t domain, size_t) {
    return std::vector<uint16_t>{static_cast<uint16_t>(rng.below(2)), static_cast<uint16_t>(2 + domain)};
  });
  EXPECT_NEAR(pick_bits(trace, 0).bits, 0.5, 0.02);
  EXPECT_GT(token_bits(trace, 0).bits, 0.95);
}

TEST(RoutingDomains, OneDomainHasNothingToTell) {
  const TraceShape shape{.domains = 1};
  const RoutingTrace trace = make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); });
  const auto all = specialisation_by_domain(trace);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].pick.share(), 0);
  EXPECT_EQ(all[0].token.most, 0);
}

// Domains without tokens weigh nothing.
TEST(RoutingDomains, AnEmptyDomainIsAsIfItWereNotThere) {
  const TraceShape shape;
  RoutingTrace trace = liking_trace(shape, 1, 0);
  const auto before = specialisation_by_domain(trace);
  trace.domains.emplace_back("empty");
  const auto with = specialisation_by_domain(trace);
  EXPECT_DOUBLE_EQ(with[0].pick.bits, before[0].pick.bits);
  EXPECT_DOUBLE_EQ(with[0].pick.most, before[0].pick.most);
  EXPECT_NEAR(with[0].token.bits, before[0].token.bits, 1e-12);
  EXPECT_NEAR(counts_of(trace).domain_information(0), before[0].pick.bits, 1e-12);
}

}  // namespace
}  // namespace dsmoe::study
