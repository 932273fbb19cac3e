// When the alarms ring: once, after their patience, and again only after the condition has passed.
#include "train/router_watch.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace dsmoe::train {
namespace {

constexpr int64_t kPatience = RouterWatch::kPatience;

std::vector<LayerLoad> loads(std::vector<int64_t> counts) { return {{1, {5, 5, 5, 5}, 0}, {3, std::move(counts), 0}}; }

TEST(RouterWatch, StarvedExpertIsNamedOnce) {
  RouterWatch watch(2);
  int64_t rung = 0;
  for (int64_t step = 1; step <= 3 * kPatience; ++step) {
    const auto alarms = watch.observe(step, loads({5, 0, 5, 5}));
    rung += static_cast<int64_t>(alarms.size());
    if (step != kPatience) continue;
    ASSERT_EQ(alarms.size(), 1U);
    EXPECT_EQ(alarms[0].alarm, "starved_experts");
    EXPECT_EQ(base::dump_json(alarms[0].to_json()["experts"]), "[1]");
    EXPECT_EQ(alarms[0].to_json()["layer"], 3);
  }
  EXPECT_EQ(rung, 1);
}

TEST(RouterWatch, OneTokenResetsThePatience) {
  RouterWatch watch(2);
  for (int64_t step = 1; step <= 5 * kPatience; ++step) {
    const bool token = step % (kPatience - 1) == 0;
    EXPECT_TRUE(watch.observe(step, loads({5, token ? 1 : 0, 5, 5})).empty()) << step;
  }
}

TEST(RouterWatch, CollapseIsMeasuredAgainstTheWorstPossible) {
  // K = 2 of 4: all tokens to the same two gives MaxVio 1, so collapse begins beyond 0.5
  for (const auto& [counts, collapsed] :
       {std::pair{std::vector<int64_t>{8, 8, 2, 2}, true}, std::pair{std::vector<int64_t>{7, 6, 4, 3}, false}}) {
    RouterWatch watch(2);
    int64_t rung = 0;
    for (int64_t step = 1; step <= 2 * kPatience; ++step) {
      for (const AlarmRecord& alarm : watch.observe(step, loads(counts))) rung += alarm.alarm == "routing_collapse";
    }
    EXPECT_EQ(rung, collapsed ? 1 : 0);
  }
}

TEST(RouterWatch, AllExpertsChosenCannotCollapse) {
  RouterWatch watch(4);
  for (int64_t step = 1; step <= 2 * kPatience; ++step) EXPECT_TRUE(watch.observe(step, loads({5, 5, 5, 5})).empty());
}

TEST(RouterWatch, MemorySurvivesACheckpoint) {
  RouterWatch uncut(2), first(2), second(2);
  for (int64_t step = 1; step <= 60; ++step) {
    uncut.observe(step, loads({9, 0, 1, 1}));
    first.observe(step, loads({9, 0, 1, 1}));
  }
  second.restore(base::parse_json(base::dump_json(first.state()), "state"));
  for (int64_t step = 61; step <= 130; ++step) {
    EXPECT_EQ(uncut.observe(step, loads({9, 0, 1, 1})).size(), second.observe(step, loads({9, 0, 1, 1})).size());
  }
  EXPECT_EQ(uncut.state(), second.state());
  EXPECT_THROW(second.restore(base::Json("x")), base::Error);
  EXPECT_THROW(second.restore(base::parse_json(R"([{"without":[-1],"collapsed":0}])", "x")), base::Error);
}

}  // namespace
}  // namespace dsmoe::train
