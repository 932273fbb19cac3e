// `dsmoe eval choice` and `dsmoe eval generate` as a user meets them: tables, files, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/testing.h"

namespace dsmoe::apps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class EvalTask : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 2000);
    for (const char* kind : {"choice", "generate"}) base::fs::create_directories(folder_ / kind);
    folder_.write("choice/task.toml", "kind = \"choice\"\nquestion = \"{question}?\"\n");
    folder_.write("choice/items.jsonl",
                  R"({"id": 7, "pool": "P", "question": "up", "choices": ["yes", "no"], "answer": 0}
{"pool": "Q", "question": "down", "choices": ["one", "two"], "answer": 1}
)");
    folder_.write("generate/task.toml", "kind = \"generate\"\nmax_tokens = 3\n");
    folder_.write("generate/items.jsonl", R"({"question": "up", "answers": ["yes"]}
)");
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Outcome choice(std::vector<std::string> more) {
    more.insert(more.begin(), {"eval", "choice", "-m", path("model")});
    return run(std::move(more));
  }
  base::TestFolder folder_;
};

TEST_F(EvalTask, ChoicePrintsATableAndLeavesTheRecords) {
  const Outcome outcome = choice({path("choice"), "-o", path("scores"), "-t", "1"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("95 % interval"), HasSubstr("at chance, 0.5000"), HasSubstr("acc_norm"),
                                 HasSubstr("nats"), HasSubstr("  P ")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("nan")));
  const auto results = base::parse_json(base::read_file(path("scores/results.json")), "results.json");
  const auto& all = results["results"]["choice"];
  for (const char* key : {"acc,none", "acc_stderr,none", "acc_norm,none", "acc_norm_stderr,none", "nats,none"}) {
    EXPECT_TRUE(all[key].is_number()) << key;
  }
  EXPECT_EQ(results["results"]["choice/P"]["acc_stderr,none"], "N/A") << "of one item";
  EXPECT_EQ(results["group_subtasks"]["choice"], base::Json::array({"choice/P", "choice/Q"}));
  EXPECT_EQ(results["n-samples"]["choice"]["effective"], 2);
  EXPECT_EQ(results["provenance"]["seed"], 1);
  EXPECT_EQ(results["configs"]["choice"]["question"], "{question}?");

  std::istringstream lines(base::read_file(path("scores/samples.jsonl")));
  std::string line;
  std::vector<base::Json> samples;
  while (std::getline(lines, line)) samples.push_back(base::parse_json(line, "samples.jsonl"));
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0]["id"], "7");
  EXPECT_EQ(samples[1]["id"], "items.jsonl:2");
  EXPECT_EQ(samples[1]["arguments"]["gen_args_1"], base::Json({{"arg_0", "down?"}, {"arg_1", " two"}}));
  EXPECT_EQ(samples[1]["target"], "1");
  const double mean = (samples[0]["nats"].get<double>() + samples[1]["nats"].get<double>()) / 2;
  EXPECT_DOUBLE_EQ(all["nats,none"].get<double>(), mean);
}

TEST_F(EvalTask, RecordsDoNotDependOnThreadsOrPieces) {
  const Outcome one = choice({path("choice"), "-t", "1", "-o", path("a"), "--json"});
  const Outcome two = choice({path("choice"), "-t", "2", "--ubatch-size", "3", "-o", path("b"), "--json"});
  EXPECT_EQ(one.out, two.out);
  EXPECT_EQ(base::read_file(path("a/samples.jsonl")), base::read_file(path("b/samples.jsonl")));
  EXPECT_EQ(base::parse_json(one.out, "out"),
            base::parse_json(base::read_file(path("a/results.json")), "results.json"));
}

TEST_F(EvalTask, ResultsThatAreThereStayWithoutForce) {
  EXPECT_EQ(choice({path("choice"), "-o", path("scores"), "--limit", "1"}).exit_code, 0);
  const std::string before = base::read_file(path("scores/results.json"));
  const Outcome refused = choice({path("choice"), "-o", path("scores"), "-s", "2"});
  EXPECT_EQ(refused.exit_code, 4) << refused.err;
  EXPECT_EQ(base::read_file(path("scores/results.json")), before);
  const Outcome forced = choice({path("choice"), "-o", path("scores"), "-s", "2", "--force"});
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_NE(base::read_file(path("scores/results.json")), before);
}

TEST_F(EvalTask, GenerateLeavesWhatWasWritten) {
  const Outcome outcome =
      run({"eval", "generate", "-m", path("model"), path("generate"), "-o", path("scores"), "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto results = base::parse_json(outcome.out, "out");
  EXPECT_TRUE(results["results"]["generate"]["exact_match,none"].is_number());
  EXPECT_FALSE(results["results"]["generate"].contains("at_chance"));
  const auto sample = base::parse_json(base::read_file(path("scores/samples.jsonl")), "samples.jsonl");
  EXPECT_EQ(sample["arguments"]["gen_args_0"]["arg_1"]["until"], base::Json::array({"\n"}));
  EXPECT_EQ(sample["exact_match"], 0.0);
}

TEST_F(EvalTask, WrongInputIsToldBeforeAModelIsOpened) {
  const auto refused = [&](std::vector<std::string> words, int exit_code, const char* rule) {
    words.insert(words.begin(), {"eval", "choice", "-m", path("no-model")});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(rule));
    EXPECT_EQ(outcome.out, "");
  };
  refused({path("nothing")}, 4, "not a task's folder");
  refused({path("generate")}, 2, "dsmoe eval generate takes it");
  refused({path("choice"), path("choice")}, 2, "told apart by their folders' names");
  refused({path("choice"), "--shots", "2"}, 3, "0 for 2");
  refused({path("choice"), "--limit", "-1"}, 2, "--limit");
  refused({path("choice"), "-o", path("generate")}, 4, "already and not empty");
  refused({}, 2, "TASK");
  folder_.write("choice/items.jsonl", "{\"question\": \"up\", \"choices\": [\"yes\", \"no\"]}\n");
  refused({path("choice")}, 3, "items.jsonl:1");
  folder_.write("choice/items.jsonl", "");
  refused({path("choice")}, 3, "needs an item to score");
}

TEST_F(EvalTask, AModelWithoutATokenizerOrRoomIsRefused) {
  write_byte_model(folder_ / "bare", 30, true);
  EXPECT_THAT(run({"eval", "choice", "-m", path("bare"), path("choice")}).err, HasSubstr("has no tokenizer"));
  write_byte_model(folder_ / "short", 6);
  const Outcome outcome = run({"eval", "choice", "-m", path("short"), path("choice"), "-o", path("none")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("context of 6"), HasSubstr("items.jsonl:2")));
  EXPECT_FALSE(base::fs::exists(path("none")));
}

TEST_F(EvalTask, TheSampleTasksOfTheTreeAreWhole) {
  const std::string tasks = DSMOE_SOURCE_DIR "/tests/tasks/";
  const Outcome outcome = choice({tasks + "exams", tasks + "facts", tasks + "continuation", tasks + "last-word",
                                  tasks + "word-sense", "--limit", "1", "--json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(base::parse_json(outcome.out, "out")["n-samples"].size(), 5u);
  const Outcome facts = run({"eval", "generate", "-m", path("model"), tasks + "facts-open", "--limit", "1"});
  EXPECT_EQ(facts.exit_code, 0) << facts.err;
}

}  // namespace
}  // namespace dsmoe::apps
