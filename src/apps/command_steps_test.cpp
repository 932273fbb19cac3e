#include "apps/command_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

TEST(CommandSteps, AreShownAsAShellReadsThem) {
  EXPECT_EQ(step_text("build/bin/", {{"plan", "a b.toml", "x=1", ""}, "out/plan.json"}),
            "build/bin/dsmoe plan 'a b.toml' x=1 '' > out/plan.json");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted("text={a,b}*"), "'text={a,b}*'");
}

// The shell stands in for the program: what it is given is what the shell runs.
class CommandStepsTest : public ::testing::Test {
 protected:
  std::string run(const CommandStep& step) {
    ::testing::internal::CaptureStderr();
    std::string said;
    try {
      CommandSteps("/bin", "").run(step);
    } catch (const base::Error& error) {
      code_ = error.exit_code();
      said = error.what();
    }
    shown_ = ::testing::internal::GetCapturedStderr();
    return said;
  }
  base::TestFolder folder_;
  std::string shown_;
  int code_ = 0;
};

TEST_F(CommandStepsTest, RunAndLeaveTheirOutputWholeOrNotAtAll) {
  EXPECT_EQ(run({{"-c", "echo told >&2; echo made"}, folder_ / "out", "sh"}), "");
  EXPECT_EQ(base::read_file(folder_ / "out"), "made\n");
  EXPECT_THAT(shown_, ::testing::StartsWith("$ sh -c 'echo told >&2; echo made' > "));
  EXPECT_THAT(shown_, ::testing::EndsWith("\ntold\n"));
  EXPECT_THAT(run({{"-c", "echo half; exit 3"}, folder_ / "out", "sh"}), ::testing::HasSubstr("exit code 3"));
  EXPECT_EQ(code_, 3);
  EXPECT_EQ(base::read_file(folder_ / "out"), "made\n");
  EXPECT_EQ(folder_.count(), 1u) << "nothing is left behind";
}

TEST_F(CommandStepsTest, EndAsTheyEnd) {
  run({{"-c", "exit 75"}, "", "sh"});
  EXPECT_EQ(code_, 75);
  run({{"-c", "kill -INT $$"}, "", "sh"});
  EXPECT_EQ(code_, 75) << "Ctrl-C is no failure";
  run({{"-c", "kill -KILL $$"}, "", "sh"});
  EXPECT_EQ(code_, 1);
}

}  // namespace
}  // namespace dsmoe::apps
