// What -m means, whichever command has it.
#include "apps/model_option.h"

#include <gmock/gmock.h>

#include "apps/testing.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class ModelOption : public ::testing::Test {
 protected:
  ModelOption() {
    write_byte_model(folder_ / "run/step-00000009", 30, /*bare=*/true);
    write_byte_model(folder_ / "run/step-00000010", 30);
    folder_.write("run/metrics.jsonl", "");
  }
  std::string path(const std::string& name) const { return folder_ / name; }
  base::TestFolder folder_;
};

TEST_F(ModelOption, OfARunIsItsNewestCheckpoint) {
  const std::vector<std::vector<std::string>> commands = {
      {"logits", "--tokens", "1,2", "-o", path("out.npy"), "--force"}, {"generate", "-p", "A", "-n", "2"},
      {"eval", "perplexity", folder_.write("text", "some text")},      {"bench", "-p", "4", "-n", "0", "-r", "1"},
      {"export", "--no-tokenizer", "-o", path("out.gguf"), "--force"}, {"tokenizer", "encode", "-p", "A"},
  };
  for (std::vector<std::string> words : commands) {
    words.insert(words.end(), {"-m", path("run")});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0) << words.front() << ": " << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("model: " + path("run/step-00000010") + ", the newest checkpoint\n"));
  }
  EXPECT_EQ(run({"logits", "--tokens", "1", "-m", path("run"), "-o", path("run/step-00000010/config.json")}).exit_code,
            2)
      << "an output must not be a file of the model that is meant";
}

TEST_F(ModelOption, OfARunWithoutACheckpointIsAnErrorThatSaysSo) {
  folder_.write("text", "x");
  base::fs::remove_all(folder_ / "run/step-00000009");
  base::fs::remove_all(folder_ / "run/step-00000010");
  const Outcome outcome = run({"generate", "-m", path("run"), "-p", "A"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("it has no checkpoint yet"));
}

TEST_F(ModelOption, TheContextMayBeMadeSmaller) {
  const std::vector<std::string> words = {"generate", "-m",   path("run"), "--ignore-eos", "-n", "-1",
                                          "-p",       "ABCD", "--json",    "-s",           "1"};
  const auto with = [&](const char* context) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"-c", context});
    return run(all);
  };
  const auto length = [](const Outcome& outcome) {
    const base::Json json = base::parse_json(outcome.out, "out");
    return json["prompt_tokens"].get<size_t>() + json["tokens"].size();
  };
  // The last token is generated and not read, so that it needs no place.
  EXPECT_EQ(length(with("12")), 13u);
  EXPECT_EQ(length(with("0")), 31u);
  EXPECT_EQ(with("3").exit_code, 3);
  EXPECT_THAT(with("3").err, HasSubstr("the prompt must fit into the context of 3"));
  EXPECT_EQ(with("31").exit_code, 2);
  EXPECT_THAT(with("31").err, HasSubstr("the model can have at most 30 tokens: 31"));
}

}  // namespace
}  // namespace dsmoe::apps
