// Limits of control groups, read from made-up trees of both versions, and what a pool of threads makes of limits.
#include "base/limits.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <fstream>

#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/test_files.h"

namespace dsmoe::base {
namespace {

constexpr const char* kUnified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

// A machine as a tree of files.
class Machine {
 public:
  Machine(const std::string& mounts, const std::string& groups) {
    put("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n" + mounts);
    put("proc/self/cgroup", groups);
  }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << text;
  }
  const fs::path& root() const { return folder_.path(); }

 private:
  TestFolder folder_;
};

TEST(Limits, NoGroupsAreNoLimit) {
  const Machine machine("", "");
  const GroupLimits limits = group_limits(machine.root());
  EXPECT_FALSE(limits.processors || limits.memory || limits.memory_left);
  EXPECT_FALSE(group_limits(machine.root() / "nowhere").memory);
}

TEST(Limits, OfVersionTwoTheSmallestOnTheWayUpCounts) {
  Machine machine(kUnified, "0::/batch/job.slice\n");
  machine.put("sys/fs/cgroup/batch/job.slice/cpu.max", "max 100000\n");
  machine.put("sys/fs/cgroup/batch/cpu.max", "250000 100000\n");
  machine.put("sys/fs/cgroup/batch/job.slice/memory.max", "4000000\n");
  machine.put("sys/fs/cgroup/batch/job.slice/memory.current", "3000000\n");
  machine.put("sys/fs/cgroup/batch/job.slice/memory.stat", "anon 5\ninactive_file 500000\nactive_file 300000\n");
  machine.put("sys/fs/cgroup/batch/memory.max", "max\n");
  machine.put("sys/fs/cgroup/batch/memory.high", "9000000\n");
  const GroupLimits limits = group_limits(machine.root());
  EXPECT_EQ(limits.processors, 2.5);
  EXPECT_EQ(limits.memory, 4000000U);
  EXPECT_EQ(limits.memory_left, 1800000U) << "the limit less what is used, pages of files apart";
}

TEST(Limits, OfVersionOneEachControllerHasItsOwnMount) {
  Machine machine(
      "31 30 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
      "32 30 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
      "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc/inner\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "150000\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", "100000\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  machine.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
  machine.put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1200000\n");
  machine.put("sys/fs/cgroup/memory/memory.stat", "cache 9\ntotal_inactive_file 100000\n");
  GroupLimits limits = group_limits(machine.root());
  EXPECT_EQ(limits.processors, 1.5);
  EXPECT_EQ(limits.memory, 1000000U);
  EXPECT_EQ(limits.memory_left, 0U);
  machine.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(group_limits(machine.root()).memory) << "version 1's word for no limit";
}

TEST(Limits, AGroupOutOfSightIsTheMount) {
  Machine machine(kUnified, "0::/../../elsewhere\n");
  machine.put("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(group_limits(machine.root()).processors, 0.5);
  EXPECT_EQ(usable_processors(machine.root()), 1) << "a share of a processor is one";
}

TEST(Limits, ProcessorsFollowTheAffinity) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "one processor";
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const int usable = usable_processors(), threads = ThreadPool().size();
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(usable, 1);
  EXPECT_EQ(threads, 1);
}

TEST(Limits, MemoryIsNeverMoreThanTheGroupsLeave) {
  EXPECT_LE(physical_memory(), group_limits().memory.value_or(UINT64_MAX));
  EXPECT_GT(available_memory(), 0U);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DSMOE_SANITIZED 1
#endif

// A limit on address space: unlike one on processes it binds the superuser too, and a thread's stack needs some.
[[noreturn]] void make_more_threads_than_there_are() {
  const struct rlimit small = {uint64_t{1} << 30, uint64_t{1} << 30};
  ::setrlimit(RLIMIT_AS, &small);
  try {
    const ThreadPool pool(1000);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(error.exit_code());
  }
  std::exit(0);
}

TEST(Limits, ThreadsThatTheSystemDoesNotGiveAreAnError) {
#ifdef DSMOE_SANITIZED
  GTEST_SKIP() << "sanitizers need address space";
#endif
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(make_more_threads_than_there_are(), ::testing::ExitedWithCode(1), "cannot start 1000 threads.*could be");
}

}  // namespace
}  // namespace dsmoe::base
