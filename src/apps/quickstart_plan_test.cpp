// The sizes that a text, a time and a speed get.
#include "apps/quickstart_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TrainingNeeds needs(int64_t tokens, double minutes, double tokens_per_second) {
  return {tokens, 4096, minutes, tokens_per_second, UINT64_MAX, ""};
}

TEST(QuickstartPlan, TheVocabularyGrowsWithTheText) {
  EXPECT_EQ(vocabulary_for(kLeastText), 512);
  EXPECT_EQ(vocabulary_for(100'000), 1024);
  EXPECT_EQ(vocabulary_for(2'000'000), 4096);
  EXPECT_EQ(vocabulary_for(50'000'000), 8192);
}

TEST(QuickstartPlan, TheModelGrowsWithTextTimeAndSpeed) {
  constexpr int64_t kMuch = 100'000'000;
  EXPECT_EQ(choose_training(needs(kMuch, 5, 2000)).preset, "nano-deepseekmoe") << "a slow machine";
  EXPECT_EQ(choose_training(needs(kMuch, 5, 23000)).preset, "demo-deepseekmoe");
  EXPECT_EQ(choose_training(needs(kMuch, 60, 23000)).preset, "mini-deepseekmoe") << "an hour";
  EXPECT_EQ(choose_training(needs(50'000, 60, 23000)).preset, "nano-deepseekmoe") << "a short text";
  TrainingNeeds small_machine = needs(kMuch, 60, 23000);
  small_machine.memory = 300 << 20;
  EXPECT_NE(choose_training(small_machine).preset, "mini-deepseekmoe");
}

TEST(QuickstartPlan, TimeEndsALongTextAndPassesEndAShortOne) {
  const TrainingChoice time = choose_training(needs(100'000'000, 5, 23000));
  EXPECT_THAT(time.settings, Contains("train.minutes=5"));
  EXPECT_THAT(time.settings, Not(Contains(HasSubstr("train.steps="))));
  const TrainingChoice text = choose_training(needs(100'000, 5, 23000));
  EXPECT_THAT(text.settings, Contains("train.minutes=0"));
  EXPECT_THAT(text.settings, Contains("train.steps=391")) << "1.6 million tokens, 8 sequences of 512 a step";
  EXPECT_THAT(text.reasons, Contains(HasSubstr("read 16.0 times")));
  EXPECT_THAT(choose_training(needs(100'000'000, 0.5, 23000)).settings, Contains("train.minutes=0.50"));
}

// Whatever is chosen is a configuration that trains.
TEST(QuickstartPlan, EveryChoiceResolves) {
  for (const int64_t tokens : {600, 5000, 80'000, 3'000'000, 900'000'000}) {
    for (const double minutes : {0.1, 1.0, 5.0, 600.0}) {
      for (const double speed : {50.0, 1000.0, 30'000.0, 1e6}) {
        const TrainingChoice choice = choose_training(needs(tokens, minutes, speed));
        const spec::TrainConfig train = spec::resolve(choice.preset, choice.settings).config.train;
        EXPECT_EQ(train.global_batch % train.micro_batch, 0);
        EXPECT_GE(train.validate_every, 1);
        EXPECT_EQ(choice.reasons.size(), 3u);
      }
    }
  }
}

TEST(QuickstartPlan, APresetThatIsAskedForIsTaken) {
  TrainingNeeds asked = needs(100'000'000, 5, 1000);
  asked.preset = "mini-gshard";
  EXPECT_EQ(choose_training(asked).preset, "mini-gshard");
  asked.preset = "mini-gshart";
  EXPECT_THROW(choose_training(asked), base::Error);
}

TEST(QuickstartPlan, LessThanASequenceIsRefused) { EXPECT_THROW(choose_training(needs(512, 5, 1000)), base::Error); }

}  // namespace
}  // namespace dsmoe::apps
