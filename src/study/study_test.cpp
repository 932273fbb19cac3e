// Counts keep their sums, and what is read off them is what they say.
#include <gtest/gtest.h>

#include "base/error.h"
#include "study/routing_counts.h"

namespace dsmoe::study {
namespace {

RoutingCounts two_domains() {
  RoutingCounts c;
  c.layers = {1, 2};
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  c.domains = {"prose", "code"};
  c.allocate();
  c.tokens = {10, 30};
  c.counts[0] = {{5, 5, 5, 5}, {15, 15, 15, 15}};  // every domain alike
  c.counts[1] = {{10, 10, 0, 0}, {0, 0, 30, 30}};  // experts of their own
  return c;
}

TEST(RoutingCounts, InformationIsZeroWhenAlikeAndLogOfDomainsWhenApart) {
  const RoutingCounts c = two_domains();
  EXPECT_NEAR(c.domain_information(0), 0, 1e-12);
  EXPECT_NEAR(c.domain_information(1), 1, 1e-12);
  EXPECT_NEAR(c.max_violation(0), 0, 1e-12);
  EXPECT_NEAR(c.max_violation(1), 0, 1e-12) << "domains weigh the same, however many tokens they have";
  EXPECT_DOUBLE_EQ(c.domain_share(1)[0][0], 0.5);
}

TEST(RoutingCounts, JsonRoundTripAndMisfits) {
  const base::Json json = to_json(two_domains());
  EXPECT_EQ(to_json(routing_counts_from_json(json, "f")), json);
  base::Json broken = json;
  broken["counts"][0][0].erase(0);
  EXPECT_THROW(routing_counts_from_json(broken, "f"), base::Error);
  broken = json;
  broken["counts"] = "many";
  EXPECT_THROW(routing_counts_from_json(broken, "f"), base::Error);
}

}  // namespace
}  // namespace dsmoe::study
