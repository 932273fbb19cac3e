#include "apps/chat_speed.h"

#include <gtest/gtest.h>

namespace dsmoe::apps {
namespace {

TEST(ChatSpeed, PromptsAndAnswersAreTimedApart) {
  double now = 0;
  ChatSpeed speed([&] { return now; });
  EXPECT_EQ(speed.text(), "nothing has been answered\n");
  speed.begin(0, 100);
  now += 2;  // the prompt, with the first token
  speed.token();
  for (int i = 0; i < 4; ++i) {
    now += 0.5;
    speed.token();
  }
  const std::string first = "100 tokens read at 50.0 tokens/s, 5 tokens generated at 2.0 tokens/s\n";
  EXPECT_EQ(speed.text(), "last answer: " + first);
  now += 60;  // the person thinks
  speed.begin(105, 125);
  now += 1;
  speed.token();
  EXPECT_EQ(speed.text(),
            "last answer: 20 tokens read at 20.0 tokens/s (105 more were in the cache), 1 token generated\n"
            "all 2 answers: 120 tokens read at 40.0 tokens/s (105 more were in the cache), 6 tokens generated at 2.0 "
            "tokens/s\n");
}

TEST(ChatSpeed, AnAnswerWithoutATokenHasNoSpeed) {
  ChatSpeed speed([] { return 0.0; });
  speed.begin(0, 3);
  EXPECT_EQ(speed.text(), "last answer: 3 tokens read, 0 tokens generated\n");
}

}  // namespace
}  // namespace dsmoe::apps
