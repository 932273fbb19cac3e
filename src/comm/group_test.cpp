// What a group's operations give, and what they say where a rank does not take part: on threads.
#include "comm/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/test_files.h"
#include "comm/testing.h"
#include "comm/threads.h"

namespace dsmoe::comm {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Ranks : public ::testing::TestWithParam<int> {};

TEST_P(Ranks, EveryOperationGivesItsDefinition) {
  for (const bool check : {false, true}) {
    on_threads(
        GetParam(), [](const Group& group) { expect_all_operations(group, group.size() == 3); }, check);
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, Ranks, ::testing::Values(1, 2, 3, 4, 8));

TEST(Group, IsOfOneWithoutATransport) {
  const Group group;
  EXPECT_TRUE(group.alone() && group.first());
  expect_all_operations(group, true);
}

TEST(Group, PartsOfAWorldAreGroups) { on_threads(6, expect_all_operations_of_parts, true); }

TEST(Mesh, NeighboursHaveEverythingBetweenThem) {
  on_threads(4, [](const Group& world) {
    for (const int shared_by : {1, 2, 4}) {
      const Mesh mesh(world, shared_by);
      int64_t at = 0;
      for (int rank = 0; rank < shared_by; ++rank) {
        EXPECT_EQ(mesh.held(63, rank).begin, at);
        at = mesh.held(63, rank).end;
      }
      EXPECT_EQ(at, 63);
      for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(mesh.held(63, rank).begin, mesh.held(63, rank % shared_by).begin);
      EXPECT_EQ(mesh.neighbours().size() * mesh.copies().size(), 4);
    }
  });
}

TEST(Group, SharesCoverEverythingOnce) {
  for (const int ranks : {1, 2, 3, 7}) {
    for (const int64_t n : {0, 1, 6, 63, 1000}) {
      int64_t at = 0;
      for (int r = 0; r < ranks; ++r) {
        const Stretch share = share_of(n, r, ranks);
        EXPECT_EQ(share.begin, at);
        EXPECT_LE(share.size(), n / ranks + 1);
        EXPECT_GE(share.size(), n / ranks);
        at = share.end;
      }
      EXPECT_EQ(at, n);
    }
  }
}

TEST(Group, ARankThatHasEndedIsNamed) {
  const std::string message = base::message_of([] {
    on_threads(3, [](const Group& group) {
      if (group.rank() != 1) group.broadcast("x");
    });
  });
  EXPECT_THAT(message, AllOf(HasSubstr("rank 1 does not take part in broadcast"), HasSubstr("has ended")));
}

TEST(Group, ARankOfAPartIsNamedAsTheWorldNamesIt) {
  const std::string message = base::message_of([] {
    on_threads(4, [](const Group& world) {
      if (world.rank() != 3) Mesh(world, 2).neighbours().barrier();
    });
  });
  EXPECT_THAT(message, HasSubstr("rank 3 does not take part in any"));
}

TEST(Group, ARankThatDoesNotComeIsNamedAfterTheTimeout) {
  std::promise<void> given_up;
  on_threads(
      2,
      [&](const Group& group) {
        if (!group.first()) return given_up.get_future().wait();
        const std::string said = base::message_of([&] { group.barrier(); });
        EXPECT_THAT(said, AllOf(HasSubstr("rank 1 does not take part in any"), HasSubstr("no word of it for 0.05 s")));
        given_up.set_value();
      },
      false, std::chrono::milliseconds(50));
}

TEST(Group, CheckedRanksOutOfStepAreExplained) {
  const auto message = [](const std::function<void(const Group&)>& body) {
    return base::message_of([&] { on_threads(2, body, true); });
  };
  EXPECT_THAT(message([](const Group& group) { group.first() ? group.barrier() : (void)group.broadcast("x"); }),
              AllOf(HasSubstr("in broadcast with 8 bytes"), HasSubstr("in any with 1 bytes")));
  EXPECT_THAT(message([](const Group& group) {
                std::vector<float> values(group.first() ? 8 : 6);
                group.all_reduce(Pieces<float>(std::span(values)));
              }),
              AllOf(HasSubstr("reduce_scatter"), HasSubstr("16 bytes"), HasSubstr("12 bytes")));
}

TEST(Group, WhatARankThrowsComesBeforeWhatOthersSayOfIt) {
  const std::string message = base::message_of([] {
    on_threads(3, [](const Group& group) {
      if (group.rank() == 2) base::fail_invalid("test", "the cause");
      group.barrier();
    });
  });
  EXPECT_EQ(message, "[test] the cause");
}

}  // namespace
}  // namespace dsmoe::comm
