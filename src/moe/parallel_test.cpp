#include "moe/parallel.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "moe/composed.h"

namespace dsmoe::moe {
namespace {

class Threads : public ::testing::TestWithParam<int> {
 protected:
  Threads() { at::set_num_threads(GetParam()); }
  ~Threads() override { at::set_num_threads(before_); }
  int before_ = at::get_num_threads();
};

TEST_P(Threads, EveryItemOnceInChunksOfTheGrain) {
  for (const int64_t count : {0, 1, 6, 7, 8, 100}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
    torch_parallel_for()(count, 7, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(begin % 7, 0);
      EXPECT_EQ(end, std::min(count, begin + 7));
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (const auto& times : seen) EXPECT_EQ(times, 1) << count;
  }
}

TEST_P(Threads, AnExceptionComesThrough) {
  EXPECT_THROW(torch_parallel_for()(50, 1, [](int64_t, int64_t) { throw std::runtime_error("no"); }),
               std::runtime_error);
}

TEST_P(Threads, ALoopInsideALoopIsSerial) {
  std::atomic<int> inner{0};
  torch_parallel_for()(4, 1, [&](int64_t, int64_t) {
    torch_parallel_for()(10, 3, [&](int64_t begin, int64_t end) { inner += static_cast<int>(end - begin); });
  });
  EXPECT_EQ(inner, 40);
}

INSTANTIATE_TEST_SUITE_P(Some, Threads, ::testing::Values(1, 2, 3));

TEST(Composed, FollowsTypeAndEnvironment) {
  const char* before = std::getenv("DSMOE_COMPOSED");
  const std::string kept = before ? before : "";
  ::unsetenv("DSMOE_COMPOSED");
  EXPECT_FALSE(composed(torch::zeros({1})));
  EXPECT_FALSE(composed(torch::zeros({1}, torch::kBFloat16)));
  EXPECT_TRUE(composed(torch::zeros({1}, torch::kFloat64)));
  ::setenv("DSMOE_COMPOSED", "1", 1);
  EXPECT_TRUE(composed(torch::zeros({1})));
  before ? ::setenv("DSMOE_COMPOSED", kept.c_str(), 1) : ::unsetenv("DSMOE_COMPOSED");
}

}  // namespace
}  // namespace dsmoe::moe
