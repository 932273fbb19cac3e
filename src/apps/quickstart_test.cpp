// dsmoe quickstart up to where it would run commands: its record, and what it refuses before anything is made.
#include <gmock/gmock.h>

#include "apps/quickstart_record.h"
#include "apps/testing.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class QuickstartTest : public ::testing::Test {
 protected:
  QuickstartRequest request() const { return {{"books/"}, 50'000, 5, ""}; }
  std::string refusal(const QuickstartRequest& request, int exit_code) const {
    try {
      QuickstartRecord(folder_ / "out", request);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.exit_code(), exit_code) << error.what();
      return error.what();
    }
    return "no error";
  }
  base::TestFolder folder_;
};

TEST_F(QuickstartTest, TheSameRequestGoesOn) {
  EXPECT_FALSE(QuickstartRecord(folder_ / "deep/out", request()).training());
  QuickstartRecord(folder_ / "deep/out", request()).choose({"nano-deepseekmoe", {"train.steps=3"}, {"Why."}});
  const QuickstartRecord again(folder_ / "deep/out", request());
  ASSERT_TRUE(again.training());
  EXPECT_EQ(again.training()->preset, "nano-deepseekmoe");
  EXPECT_EQ(again.training()->settings, std::vector<std::string>{"train.steps=3"});
  EXPECT_EQ(again.training()->reasons, std::vector<std::string>{"Why."});
}

TEST_F(QuickstartTest, AnotherRequestIsRefusedByName) {
  QuickstartRecord(folder_ / "out", request());
  QuickstartRequest other = request();
  other.sources = {"letters/"};
  EXPECT_THAT(refusal(other, 2), HasSubstr("was begun with other text: books/, and now letters/"));
  other = request();
  other.bytes = 60'000;
  EXPECT_THAT(refusal(other, 2), HasSubstr("text that has changed: 50000 bytes, and now 60000"));
  other = request();
  other.minutes = 0.5;
  EXPECT_THAT(refusal(other, 2), HasSubstr("--minutes: 5, and now 0.5"));
  other = request();
  other.preset = "tiny";
  EXPECT_THAT(refusal(other, 2), HasSubstr("--preset"));
  EXPECT_EQ(refusal(request(), 0), "no error");
}

TEST_F(QuickstartTest, AFolderOfSomethingElseIsLeftAlone) {
  base::fs::create_directories(folder_ / "out");
  folder_.write("out/diary.txt", "x");
  EXPECT_THAT(refusal(request(), 4), HasSubstr("holds something else"));
  EXPECT_EQ(base::fs::exists(folder_ / "out/quickstart.json"), false);
}

TEST_F(QuickstartTest, WhatCannotBecomeAModelIsRefusedBeforeAnythingIsMade) {
  const std::string out = folder_ / "out";
  base::fs::create_directories(folder_ / "empty");
  const std::vector<std::pair<std::vector<std::string>, int>> cases = {
      {{folder_ / "empty"}, 4},
      {{folder_ / "nowhere"}, 4},
      {{folder_.write("short.txt", "Once upon a time")}, 3},
      {{folder_.write("long.txt", std::string(20'000, 'x')), "--minutes", "0"}, 2},
      {{folder_ / "long.txt", "--minutes", "-1"}, 2},
      {{}, 2},
  };
  for (const auto& [more, exit_code] : cases) {
    std::vector<std::string> words = {"quickstart", "-o", out};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_FALSE(base::fs::exists(out)) << outcome.err;
  }
}

}  // namespace
}  // namespace dsmoe::apps
