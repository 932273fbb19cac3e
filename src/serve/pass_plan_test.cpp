#include "serve/pass_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

namespace dsmoe::serve {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> plan(std::vector<PassMember> members, PassLimits limits = {512, 128}) {
  return plan_pass(members, limits);
}

TEST(PassPlan, AReaderAloneHasThePass) {
  EXPECT_THAT(plan({{1000}}), ElementsAre(512));
  EXPECT_THAT(plan({{100}}), ElementsAre(100));
}

TEST(PassPlan, WritersGoOnBesideAnyPrompt) {
  EXPECT_THAT(plan({{1000}, {1, true}, {1, true}}), ElementsAre(128, 1, 1));
}

// A short prompt has all it needs, the long one what is left.
TEST(PassPlan, AShortPromptDoesNotWaitForALongOne) {
  EXPECT_THAT(plan({{4000}, {20}, {1, true}}), ElementsAre(108, 20, 1));
  EXPECT_THAT(plan({{4000}, {4000}, {1, true}}), ElementsAre(64, 64, 1));
}

TEST(PassPlan, NobodyHasMoreThanHeMay) { EXPECT_THAT(plan({{4000, false, 30}, {4000}}), ElementsAre(30, 482)); }

// Whoever is there: nothing is given beyond need or room, every writer has its row, and no room is left while somebody
// could use it.
RC_GTEST_PROP(PassPlan, RoomIsUsedAndNeverExceeded, ()) {
  const PassLimits limits{*rc::gen::inRange<int64_t>(20, 300), *rc::gen::inRange<int64_t>(1, 100)};
  std::vector<PassMember> members;
  const auto count = *rc::gen::inRange<int>(1, 12);
  for (int i = 0; i < count; ++i) {
    const bool writes = *rc::gen::arbitrary<bool>();
    members.push_back({writes ? 1 : *rc::gen::inRange<int64_t>(1, 400), writes});
  }
  const auto rows = plan_pass(members, limits);
  int64_t readers_rows = 0, unread = 0, writers = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    RC_ASSERT(rows[i] >= 0 && rows[i] <= members[i].unread);
    if (members[i].writes) RC_ASSERT(rows[i] == 1);
    (members[i].writes ? writers : readers_rows) += rows[i];
    if (!members[i].writes) unread += members[i].unread;
  }
  const int64_t room = writers > 0 ? std::min(limits.rows - writers, limits.beside_writing) : limits.rows;
  RC_ASSERT(readers_rows == std::min(room, unread));
}

}  // namespace
}  // namespace dsmoe::serve
