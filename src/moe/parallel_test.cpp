// LibTorch's pool: every item once, on more than one thread, errors come back.
#include "moe/parallel.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace dsmoe::moe {
namespace {

class Pool : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(2); }
  void TearDown() override { at::set_num_threads(before_); }
  int before_ = at::get_num_threads();
};

TEST_F(Pool, RunsEveryItemOnce) {
  std::vector<std::atomic<int>> seen(1000);
  torch_parallel_for()(1000, 7, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  for (const auto& count : seen) EXPECT_EQ(count, 1);
}

// Each of two chunks waits until the other has begun: one thread alone would wait for ever, so it gives up after a
// while.
TEST_F(Pool, ReallyHasTwoThreads) {
  std::atomic<int> begun{0};
  std::mutex mutex;
  std::set<std::thread::id> threads;
  torch_parallel_for()(2, 1, [&](int64_t, int64_t) {
    ++begun;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (begun < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2U) << "was the unit built without OpenMP?";
}

TEST_F(Pool, ALoopInsideALoopIsSerial) {
  std::atomic<int64_t> sum{0};
  torch_parallel_for()(4, 1, [&](int64_t outer, int64_t) {
    torch_parallel_for()(10, 3, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum += outer * 10 + i;
    });
  });
  EXPECT_EQ(sum, 40 * 39 / 2);
}

TEST_F(Pool, AnErrorReachesTheCaller) {
  EXPECT_THROW(torch_parallel_for()(100, 1,
                                    [](int64_t begin, int64_t) {
                                      if (begin == 50) throw std::runtime_error("fifty");
                                    }),
               std::runtime_error);
}

}  // namespace
}  // namespace dsmoe::moe
