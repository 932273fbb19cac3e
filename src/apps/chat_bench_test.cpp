// `dsmoe chat` through a pipe and `dsmoe bench` as scripts meet them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/testing.h"
#include "base/json.h"
#include "tokenizer/chat_template.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A model of bytes with a tokenizer, and room for 200 of them.
class Commands : public ::testing::Test {
 protected:
  void SetUp() override { write_byte_model(folder_ / "model", 200); }
  Outcome chat(const std::string& input, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"chat", "-m", path("model"), "-n", "20", "--temp", "0", "-t", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments, input);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  base::TestFolder folder_;
};

TEST_F(Commands, ChatAnswersEveryLineOfAPipe) {
  const Outcome one = chat("hello\n");
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_GE(one.out.size(), 2u);
  EXPECT_THAT(one.out, Not(HasSubstr(">"))) << "no prompt through a pipe";
  const Outcome two = chat("hello\nand you?\n");
  EXPECT_TRUE(two.out.starts_with(one.out)) << "the second question changes nothing about the first answer";
  EXPECT_GT(two.out.size(), one.out.size());
  EXPECT_EQ(chat("").exit_code, 0);
  EXPECT_EQ(chat("\n\n").out, "");
}

// Whatever was said before, an answer is that of the conversation as it stands: the cache that is kept never shows.
TEST_F(Commands, ChatCommandsChangeTheConversation) {
  const std::string hello = chat("hello\n").out;
  EXPECT_EQ(chat("first\n/clear\nhello\n").out, chat("first\n").out + hello);
  EXPECT_EQ(chat("first\n/undo\nhello\n").out, chat("first\n").out + hello);
  EXPECT_EQ(chat("hello\n/again\n").out, hello + hello) << "greedy: the same answer again";
  EXPECT_EQ(chat("hello\n/quit\nmore\n").out, hello);
  EXPECT_EQ(chat("/system Be kind.\nhello\n").out, chat("hello\n", {"--system", "Be kind."}).out);
  EXPECT_NE(chat("/system Be kind.\nhello\n").out, hello);
  EXPECT_EQ(chat("hel\\\nlo\n/undo\nhello\n").out, chat("hel\\\nlo\n").out + hello);
  EXPECT_THAT(chat("/help\n").err, HasSubstr("/undo"));
  EXPECT_THAT(chat("/hepl\n").err, HasSubstr("is it /help?"));
  EXPECT_THAT(chat("/again\n/undo\n").err, HasSubstr("nothing has been asked"));
  EXPECT_THAT(chat("/temp hot\n").err, HasSubstr("from 0 on"));
  EXPECT_THAT(chat("/tokens\n").err, HasSubstr("1 of 200 tokens"));
  EXPECT_EQ(chat("hello\n/save " + path("talk.txt") + "\n").exit_code, 0);
  EXPECT_TRUE(base::read_file(folder_ / "talk.txt").starts_with("User: hello\n\nAssistant: "));
}

TEST_F(Commands, ChatTakesQuotesAroundAnArgumentAsAShellDoes) {
  for (const char* nothing : {"", " ", " \"\"", " ''", " --force", " --force \"\""}) {
    EXPECT_THAT(chat("hello\n/save" + std::string(nothing) + "\n").err, HasSubstr("/save takes a file name"))
        << nothing;
  }
  EXPECT_FALSE(base::fs::exists("\"\""));
  const std::string talk = path("a talk.txt");
  EXPECT_THAT(chat("hello\n/save \"" + talk + "\"\n").err, HasSubstr("written"));
  EXPECT_THAT(chat("hello\n/save --force '" + talk + "'\n").err, HasSubstr("written"));
  EXPECT_TRUE(base::fs::exists(talk));
  EXPECT_EQ(chat("/system \"Be kind.\"\nhello\n").out, chat("hello\n", {"--system", "Be kind."}).out);
  EXPECT_EQ(chat("/system \"\"\nhello\n").out, chat("hello\n").out);
}

TEST_F(Commands, ChatIntroducesTheModel) {
  const std::string said = chat("").err;
  EXPECT_THAT(said, HasSubstr("model: "));
  EXPECT_THAT(said, HasSubstr("F32"));
  EXPECT_THAT(said, HasSubstr("context of 200 tokens; chat format plain"));
  EXPECT_THAT(said, HasSubstr("probably a base model"));
  EXPECT_THAT(run({"chat", "-m", path("model/")}, "").err, HasSubstr("model: ")) << "whatever stands behind the name";
}

TEST_F(Commands, ChatKnowsACheckpointOfTrainingOnText) {
  base::write_file(folder_ / "model/chat_template.jinja", tokenizer::kPlainChatTemplate);
  EXPECT_THAT(chat("").err, Not(HasSubstr("base model")));
  base::write_file(folder_ / "model/run.toml", "[data]\nchat_format = \"plain\"\n");
  EXPECT_THAT(chat("").err, Not(HasSubstr("base model"))) << "conversations were learnt";
  base::write_file(folder_ / "model/run.toml", "[data]\npath = \"corpus/shards\"\n");
  EXPECT_THAT(chat("").err, HasSubstr("this is a base model"));
  EXPECT_THAT(chat("", {"--chat-format", "plain"}).err, Not(HasSubstr("base model"))) << "chosen, so known";
}

TEST_F(Commands, ChatTellsHowFastItIsAndWhatIsLeft) {
  EXPECT_THAT(chat("/stats\n").err, HasSubstr("nothing has been answered\n0 tokens in the cache, 200 of 200 left"));
  const std::string said = chat("hello\nand you?\n/stats\n").err;
  EXPECT_THAT(said, HasSubstr("more were in the cache), 20 tokens generated at "));
  EXPECT_THAT(said, HasSubstr("all 2 answers: "));
  EXPECT_THAT(said, HasSubstr(" of 200 left"));
}

TEST_F(Commands, ChatFollowsTheModelsTemplate) {
  EXPECT_THAT(chat("hello\n").err, HasSubstr("the model has no chat template"));
  const Outcome plain = chat("hello\n", {"--chat-format", "plain"});
  EXPECT_EQ(plain.out, chat("hello\n").out);
  EXPECT_THAT(plain.err, Not(HasSubstr("chat template")));
  base::write_file(folder_ / "model/chat_template.jinja", "{{ messages }}");
  const Outcome unknown = chat("hello\n");
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("{{ messages }}"));
  EXPECT_EQ(chat("hello\n", {"--chat-format", "plain"}).out, plain.out) << "chosen, not guessed";
  EXPECT_EQ(chat("hello\n", {"--chat-format", "chatml"}).exit_code, 3) << "its markers are no tokens";
  EXPECT_EQ(run({"chat", "-m", path("none"), "--chat-format", "chatlm"}).exit_code, 2) << "before a model is opened";
}

TEST_F(Commands, ChatTakesAFormatWhoseMarkersAreTokens) {
  tokenizer::TokenizerSpec spec = corpus::byte_tokenizer();
  for (const char* name : {"<|im_start|>", "<|im_end|>"}) {
    spec.added_tokens.push_back({.id = static_cast<int32_t>(spec.tokens.size()), .content = name, .special = true});
    spec.tokens.push_back(name);
  }
  tokenizer::save_tokenizer(spec, folder_ / "model");
  const Outcome talk = chat("hello\n/tokens\n", {"--chat-format", "chatml"});
  EXPECT_EQ(talk.exit_code, 0) << talk.err;
  EXPECT_EQ(chat("/tokens\nhello\n", {"--chat-format", "chatml"}).out, talk.out);
}

TEST_F(Commands, ChatForgetsTheOldestWhenTheContextIsFull) {
  std::string input;
  for (int i = 0; i < 12; ++i) input += "question " + std::to_string(i) + "\n";
  const Outcome result = chat(input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("oldest questions are forgotten"));
  EXPECT_THAT(chat(std::string(300, 'x') + "\n").err, HasSubstr("too long"));
  EXPECT_EQ(chat(std::string(300, 'x') + "\nhello\n").out, chat("hello\n").out) << "what did not fit is not kept";
}

TEST_F(Commands, BenchMeasuresWhatIsAsked) {
  const Outcome result = run({"bench", "-m", path("model"), "-p", "8,16", "-n", "4", "-d", "0,32", "-r", "2", "-t", "2",
                              "-o", "json", "--parallel", "1,3", "--pg", "5,2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto rows = base::parse_json(result.out, "bench");
  ASSERT_EQ(rows.size(), 16u);
  for (const auto& row : rows) {
    EXPECT_EQ(row["samples_ns"].size(), 2u);
    EXPECT_GT(row["avg_ts"].get<double>(), 0);
    EXPECT_EQ(row["n_threads"], 2);
    EXPECT_EQ(row["type_k"], "f16");
    ASSERT_EQ(row.contains("step_ns_p50"), row["n_gen"] > 0);
    if (row["n_gen"] > 0) {
      EXPECT_LE(row["step_ns_p10"], row["step_ns_p90"]);
    }
    const bool counted = row["n_parallel"] == 3 && row["n_gen"] > 0;
    ASSERT_EQ(row.contains("distinct_experts"), counted);
    if (!counted) continue;
    EXPECT_GE(row["distinct_experts"].get<double>(), 2);  // 3 tokens visit 2 of 6 each
    EXPECT_LE(row["distinct_experts"].get<double>(), 6);
  }
  EXPECT_EQ(rows[3]["n_prompt"], 5);
  EXPECT_EQ(rows[3]["n_gen"], 2);
  EXPECT_EQ(rows[8]["n_depth"], 32);
  EXPECT_THAT(run({"bench", "-m", path("model"), "-p", "8", "-n", "0", "-r", "1", "--cache-type", "q8_0"}).out,
              HasSubstr("pp8 |"));
}

TEST_F(Commands, BenchRefusesBadInput) {
  const auto refused = [&](std::vector<std::string> more, int exit_code, const char* words) {
    std::vector<std::string> arguments = {"bench", "-m", path("model")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome result = run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(result.out, "");
  };
  refused({"-p", "512"}, 3, "pp512 has 512");
  refused({"-p", "1-"}, 2, "--n-prompt takes counts");
  refused({"--pg", "1"}, 2, "--pg takes PROMPT,GEN");
  refused({"-o", "xml"}, 2, "xml");
  refused({"--parallel", "0"}, 2, "--parallel is from 1");
  refused({"--cache-type", "q4_0"}, 2, "q4_0");
}

TEST(BenchMemory, SequencesThatDoNotFitAreRefusedBeforeTheFirst) {
  const base::TestFolder folder;
  write_byte_model(folder.path(), 1 << 24);
  const Outcome result =
      run({"bench", "-m", folder.path(), "-p", "1", "-n", "0", "-d", "16000000", "--parallel", "1,4096", "-r", "1"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("must fit into memory"));
  EXPECT_THAT(result.err, HasSubstr("available are"));
  EXPECT_THAT(result.err, HasSubstr("--no-memory-check"));
}

TEST(BenchCounts, AreBoundedAndDoNotWrap) {
  const base::TestFolder folder;
  for (const char* counts : {"1-1099511627776*1099511627776", "549755813888-1099511627776*1099511627776"}) {
    const Outcome result = run({"bench", "-m", folder.path(), "-p", counts});
    EXPECT_EQ(result.exit_code, 3) << "there is no model: " << result.err;
  }
  const Outcome result = run({"bench", "-m", folder.path(), "-p", "1-1000", "-d", "1-1000"});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("at most 10000 tests"));
}

}  // namespace
}  // namespace dsmoe::apps
