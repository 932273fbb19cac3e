// Laws of the schedules: where they start, turn and end.
#include "train/schedule.h"

#include <gtest/gtest.h>

#include <vector>

namespace dsmoe::train {
namespace {

spec::TrainConfig settings(spec::Schedule schedule) {
  spec::TrainConfig train;
  train.schedule = schedule;
  train.steps = 1000;
  train.warmup_steps = 100;
  train.learning_rate = 1e-3;
  return train;
}

TEST(Schedule, WarmUpIsALineThroughZero) {
  for (const auto schedule : {spec::Schedule::kMultistep, spec::Schedule::kCosine, spec::Schedule::kConstant}) {
    const auto train = settings(schedule);
    for (const int64_t step : {0, 1, 49, 99}) {
      EXPECT_DOUBLE_EQ(learning_rate(train, step), 1e-3 * static_cast<double>(step + 1) / 100);
    }
    EXPECT_DOUBLE_EQ(learning_rate(train, 100), 1e-3) << "no jump at the end of the warm-up";
  }
}

TEST(Schedule, NoWarmUpStartsAtTheTop) {
  auto train = settings(spec::Schedule::kMultistep);
  train.warmup_steps = 0;
  EXPECT_EQ(learning_rate(train, 0), 1e-3);
}

// Paper 4.1.3: times 0.316 at 80 % of the steps, and again at 90 %.
TEST(Schedule, MultistepFallsTwice) {
  const auto train = settings(spec::Schedule::kMultistep);
  EXPECT_DOUBLE_EQ(learning_rate(train, 799), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(train, 800), 1e-3 * 0.316);
  EXPECT_DOUBLE_EQ(learning_rate(train, 899), 1e-3 * 0.316);
  EXPECT_DOUBLE_EQ(learning_rate(train, 900), 1e-3 * 0.316 * 0.316);
  EXPECT_DOUBLE_EQ(learning_rate(train, 999), 1e-3 * 0.316 * 0.316);
}

TEST(Schedule, CosineFallsToItsFloor) {
  const auto train = settings(spec::Schedule::kCosine);
  for (int64_t step = 101; step < 1000; ++step) {
    EXPECT_LT(learning_rate(train, step), learning_rate(train, step - 1));
  }
  EXPECT_NEAR(learning_rate(train, 550), 1e-3 * 0.55, 1e-9) << "half way, half way between top and floor";
  EXPECT_DOUBLE_EQ(learning_rate(train, 1000), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate(train, 5000), 1e-4) << "beyond the end it stays";
}

TEST(Schedule, ConstantStays) { EXPECT_EQ(learning_rate(settings(spec::Schedule::kConstant), 999), 1e-3); }

TEST(Clip, ScalesOnlyWhatIsTooLong) {
  EXPECT_EQ(clip_scale(0.5, 1.0), 1.0);
  EXPECT_EQ(clip_scale(1.0, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(clip_scale(4.0, 1.0) * 4.0, 1.0);
  EXPECT_EQ(clip_scale(4.0, 0.0), 1.0) << "0 switches it off";
  EXPECT_EQ(clip_scale(0.0, 1.0), 1.0);
}

}  // namespace
}  // namespace dsmoe::train
