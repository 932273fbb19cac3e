// `dsmoe study diff` as a user meets it: two models, one under two interventions, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/test_corpus.h"

namespace dsmoe::apps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StudyDiff : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 30);
    write_byte_model(folder_ / "other", 20);
    write_corpus(folder_, kFourTexts);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Outcome study(std::vector<std::string> words, const std::vector<std::string>& more = {}) const {
    words.insert(words.begin(), {"study", "diff", "-t", "1", "--data", path("out"), "--split", "train"});
    words.insert(words.end(), more.begin(), more.end());
    return run(std::move(words));
  }
  base::Json record(std::vector<std::string> words) const {
    const Outcome outcome = study(std::move(words), {"--json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return base::parse_json(outcome.out, "output");
  }
  /// The same figure of one state of the model alone.
  double nats(std::vector<std::string> words) const {
    words.insert(words.begin(), {"eval", "perplexity", "-t", "1", "--data", path("out"), "--split", "train", "--json"});
    return base::parse_json(run(std::move(words)).out, "output")["nats_per_token"].get<double>();
  }
  base::TestFolder folder_;
};

TEST_F(StudyDiff, TwoModelsAreWhatEachIsAlone) {
  const base::Json json = record(
      {path("model"), path("other"), "--experts-per-tok", "1", "-o", path("found"), "--token-losses", path("t.jsonl")});
  EXPECT_EQ(base::parse_json(base::read_file(folder_ / "found/diff.json"), "file"), json);
  const base::Json& all = json["domains"][0];
  EXPECT_NEAR(all["a"].get<double>(), nats({"-m", path("model"), "--sequence-length", "20"}), 1e-6)
      << "both read in the windows of the shorter context";
  EXPECT_NEAR(all["b"].get<double>(), nats({"-m", path("other"), "--experts-per-tok", "1"}), 1e-6);
  EXPECT_GT(all["difference_stderr"].get<double>(), 0);
  EXPECT_EQ(json["domains"][2]["domain"], "code");
  EXPECT_TRUE(json["domains"][2]["difference_stderr"].is_null()) << "one document";
  EXPECT_EQ(json["layers"].size(), 2u);

  std::istringstream lines(base::read_file(folder_ / "t.jsonl"));
  double sum = 0;
  int64_t tokens = 0;
  for (std::string line; std::getline(lines, line);) {
    const base::Json window = base::parse_json(line, "line");
    EXPECT_EQ(window["ids"].size(), window["a"].size());
    for (size_t i = 0; i < window["a"].size(); ++i, ++tokens) {
      sum += window["b"][i].get<double>() - window["a"][i].get<double>();
    }
  }
  EXPECT_EQ(tokens, all["tokens"].get<int64_t>());
  EXPECT_NEAR(sum / static_cast<double>(tokens), all["difference"].get<double>(), 2e-6);
}

TEST_F(StudyDiff, AModelAgainstItselfUnderAnIntervention) {
  const base::Json json = record({path("model"), "--experts-per-tok", "3"});
  EXPECT_NEAR(json["domains"][0]["b"].get<double>(), nats({"-m", path("model"), "--experts-per-tok", "3"}), 1e-6);
  EXPECT_EQ(json["b"], "model, experts_per_tok 3");
  EXPECT_EQ(json["layers"][0]["same"], 1.0) << "the first layer's router reads the same, and two of three are its two";
  const base::Json both = record({path("model"), "--first-experts-per-tok", "1", "--drop-shared"});
  EXPECT_NEAR(both["domains"][0]["a"].get<double>(), nats({"-m", path("model"), "--experts-per-tok", "1"}), 1e-6);
  EXPECT_NEAR(both["domains"][0]["b"].get<double>(), nats({"-m", path("model"), "--drop-shared"}), 1e-6);
}

TEST_F(StudyDiff, TheTableSaysWhatWasCompared) {
  EXPECT_THAT(study({path("model"), path("other"), "--drop-shared"}).out,
              AllOf(HasSubstr("A: model\nB: other, drop_shared true"), HasSubstr("prose"),
                    HasSubstr("where B loses most"), HasSubstr("experts of A that B picks too")));
}

TEST_F(StudyDiff, RefusesWhatCannotBeCompared) {
  const auto refused = [&](const Outcome& outcome, int exit_code, const std::string& words) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_EQ(outcome.out, "");
  };
  refused(study({path("model")}), 2, "two models, or one and what is done to it");
  refused(study({path("model"), "--first-drop-shared", "--drop-shared"}), 2, "two models, or one");
  refused(study({path("model"), path("none")}), 4, "none");
  refused(study({path("model"), "--experts-per-tok", "7"}), 3, "7");
  refused(study({path("model"), path("other"), "--token-losses", path("other/config.json"), "--force"}), 2,
          "other/config.json");
  study({path("model"), path("other"), "-o", path("found")});
  refused(study({path("model"), path("other"), "-o", path("found")}), 4, "--force");
}

}  // namespace
}  // namespace dsmoe::apps
