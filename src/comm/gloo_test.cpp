// The same operations between processes, and what is left when one of them is killed or stopped. The ranks are forks of
// this program, which has one thread at that time: LibTorch takes a second to load anew.
#include "comm/gloo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/test_files.h"
#include "comm/testing.h"

namespace dsmoe::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class World {
 public:
  using Body = std::function<void(const Meeting&)>;
  /// Starts the ranks; what a body throws is what that rank said.
  World(int size, const Meeting& common, const Body& body) {
    for (int rank = 0; rank < size; ++rank) {
      const pid_t pid = ::fork();
      if (pid == 0) run(rank, size, common, body);
      processes_.push_back(pid);
    }
  }
  ~World() {
    for (const pid_t process : processes_) ::kill(process, SIGKILL);
    for (int rank = 0; rank < std::ssize(processes_); ++rank) end_of(rank);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Waits for it. Its exit code, or 128 and the signal.
  int end_of(int rank) {
    int status = 0;
    if (::waitpid(processes_[static_cast<size_t>(rank)], &status, 0) < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  /// After its end.
  std::string said(int rank) const { return base::read_file(file(rank)); }

 private:
  base::fs::path file(int rank) const { return folder_.path() / ("said-" + std::to_string(rank)); }

  [[noreturn]] void run(int rank, int size, const Meeting& common, const Body& body) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Meeting meeting = common;
    meeting.folder = folder_.path();
    meeting.rank = rank;
    if (meeting.size == 1) meeting.size = size;
    std::string said;
    try {
      body(meeting);
    } catch (const std::exception& error) {
      said = error.what();
    }
    base::write_file(file(rank), said, base::unsynced_files);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }

  base::TestFolder folder_{"world"};
  std::vector<pid_t> processes_;
};

/// The last rank ends by a signal while the others go on.
World::Body last_rank_gets(int signal) {
  return [signal](const Meeting& meeting) {
    const Group group = gloo_group(meeting);
    group.barrier();
    if (meeting.rank == meeting.size - 1) ::raise(signal);
    std::vector<float> values(1'000'000);
    for (;;) group.all_reduce(Pieces<float>(std::span(values)));
  };
}

TEST(Gloo, EveryOperationGivesItsDefinition) {
  World world(3, {}, [](const Meeting& meeting) { testing::expect_all_operations(gloo_group(meeting), true); });
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(world.end_of(rank), 0);
    EXPECT_EQ(world.said(rank), "");
  }
}

TEST(Gloo, PartsOfAWorldAreGroups) {
  World world(4, {.check = true},
              [](const Meeting& meeting) { testing::expect_all_operations_of_parts(gloo_group(meeting)); });
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(world.end_of(rank), 0);
    EXPECT_EQ(world.said(rank), "");
  }
}

TEST(Gloo, AKilledRankIsNamed) {
  World world(3, {}, last_rank_gets(SIGKILL));
  for (int rank = 0; rank < 2; ++rank) EXPECT_EQ(world.end_of(rank), 0);
  // One of them may have been waiting for the other, who ends as soon as it knows.
  EXPECT_THAT(world.said(0) + world.said(1), HasSubstr("rank 2 does not take part in"));
  EXPECT_EQ(world.end_of(2), 128 + SIGKILL);
}

TEST(Gloo, AStoppedRankIsNamedAfterTheTimeout) {
  World world(2, {.timeout = std::chrono::milliseconds(300)}, last_rank_gets(SIGSTOP));
  EXPECT_EQ(world.end_of(0), 0);
  EXPECT_THAT(world.said(0), AllOf(HasSubstr("rank 1 does not take part in"), HasSubstr("no word of it for 0.3 s")));
}

TEST(Gloo, CheckedRanksOutOfStepAreExplained) {
  World world(2, {.check = true}, [](const Meeting& meeting) {
    std::vector<float> values(meeting.rank == 0 ? 8 : 600);
    gloo_group(meeting).all_reduce(Pieces<float>(std::span(values)));
  });
  EXPECT_EQ(world.end_of(0), 0);
  EXPECT_THAT(world.said(0), AllOf(HasSubstr("reduce_scatter"), HasSubstr("1200 bytes"), HasSubstr("16 bytes")));
}

TEST(Gloo, ARankThatNeverComesIsAnErrorAfterTheTimeout) {
  World world(1, {.size = 2, .timeout = std::chrono::milliseconds(300)}, gloo_group);
  EXPECT_EQ(world.end_of(0), 0);
  EXPECT_THAT(world.said(0), AllOf(HasSubstr("all 2 ranks of a world must meet"), HasSubstr("rank 0 waited")));
}

}  // namespace
}  // namespace dsmoe::comm
