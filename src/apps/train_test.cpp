// dsmoe train before dsmoe-train: its help, and what it says to whoever gives it no configuration.
#include <gmock/gmock.h>

#include "apps/testing.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::string& given) {
  const Outcome outcome = run({"train", given, "train.steps=1"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  return outcome.err;
}

TEST(Train, SaysWhatToDoInsteadOfTrainingOnAFile) {
  const base::TestFolder folder;
  const std::string text = folder.write("novel.txt", "Once"), packed = folder.write("novel.jsonl.zst", "x");
  base::fs::create_directories(folder / "books");
  EXPECT_THAT(refusal(text), HasSubstr("novel.txt, a file; dsmoe quickstart " + text + " trains on the text in it"));
  EXPECT_THAT(refusal(packed), HasSubstr("dsmoe quickstart " + packed));
  EXPECT_THAT(refusal(folder / "books"), HasSubstr("books, a folder; dsmoe quickstart"));
  EXPECT_THAT(refusal(folder / "books"), HasSubstr("dsmoe data build"));
}

TEST(Train, SaysWhatToDoWithACorpusAndARun) {
  const base::TestFolder folder;
  for (const auto& [file, hint] : {std::pair{"train.idx", "dsmoe train PRESET data.path="},
                                   {"run.toml", "run.toml --resume auto goes on with it"}}) {
    base::fs::create_directories(folder / "given");
    folder.write(std::string("given/") + file, "{}");
    EXPECT_THAT(refusal(folder / "given"), HasSubstr(hint)) << file;
    base::fs::remove_all(folder / "given");
  }
}

TEST(Train, TellsItsOptionsWithoutTheTrainingHalf) {
  const Outcome help = run({"train", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* option : {"--resume", "--init", "--threads", "--print-config", "--quiet", "Exit codes"}) {
    EXPECT_THAT(help.out, HasSubstr(option));
  }
  EXPECT_THAT(run({"train", "tiny", "--resme", "auto"}).err, HasSubstr("did you mean --resume?"));
}

}  // namespace
}  // namespace dsmoe::apps
