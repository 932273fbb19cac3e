// `dsmoe study routing` as a user meets it: a corpus, one text, the checkpoints of a run; what each refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/testing.h"

namespace dsmoe::apps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StudyRouting : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 300);
    folder_.write("prose.txt", "Once upon a time there was a byte that met another byte.\n");
    folder_.write("code.txt", "int main() { return 0; }\n");
    const Outcome built = run({"data", "build", "--tokenizer", path("model"), "--out", path("corpus"), "--valid-share",
                               "0", "prose=" + path("prose.txt"), "code=" + path("code.txt")});
    ASSERT_EQ(built.exit_code, 0) << built.err;
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Outcome study(std::vector<std::string> more) {
    more.insert(more.begin(), {"study", "routing", "-t", "1"});
    return run(std::move(more));
  }
  Outcome on_corpus(std::vector<std::string> more) {
    more.insert(more.end(), {"--data", path("corpus"), "--split", "train"});
    return study(std::move(more));
  }
  base::Json record(const std::string& name) const { return base::parse_json(base::read_file(path(name)), name); }
  base::TestFolder folder_;
};

TEST_F(StudyRouting, OfACorpusPrintsATableAndLeavesARecord) {
  const Outcome outcome = on_corpus({"-m", path("model"), "--experts", "1", "-o", path("out")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("6 experts, 2 a token"), HasSubstr("MaxVio"), HasSubstr("layer 1: each")));
  const base::Json json = record("out/routing.json");
  EXPECT_EQ(json["domains"], (base::Json{"prose", "code"}));
  EXPECT_EQ(json["by_layer"].size(), 2u);
  EXPECT_EQ(json["experts"][1]["experts"].size(), 6u);
  EXPECT_EQ(json["provenance"]["split"], "train");
  EXPECT_EQ(study({"-m", path("model"), "--data", path("corpus")}).exit_code, 3) << "the valid split is empty";
  EXPECT_EQ(on_corpus({"-m", path("model"), "--experts", "2"}).exit_code, 2);
}

TEST_F(StudyRouting, OfATextIsTokenByToken) {
  folder_.write("in.txt", "a\nb");
  const Outcome outcome = study({"-m", path("model"), "-f", path("in.txt"), "-o", path("out")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\"a\""), HasSubstr("\"\\n\"")));
  const base::Json json = record("out/routing_text.json");
  EXPECT_EQ(json["texts"], (base::Json{"a", "\n", "b"}));
  EXPECT_EQ(json["experts"][1][2].size(), 2u);
  EXPECT_EQ(study({"-m", path("model"), "-p", std::string(400, 'x')}).exit_code, 3);
  write_byte_model(folder_ / "bare", 300, true);
  EXPECT_THAT(study({"-m", path("bare"), "-p", "x"}).err, HasSubstr("--data takes a corpus"));
}

TEST_F(StudyRouting, OfARunComparesItsCheckpoints) {
  EXPECT_EQ(on_corpus({"--checkpoints", path("run")}).exit_code, 4) << "there is none";
  write_byte_model(folder_ / "run/step-1", 300);
  EXPECT_EQ(on_corpus({"--checkpoints", path("run")}).exit_code, 5) << "there is one";
  write_byte_model(folder_ / "run/step-2", 300);
  const Outcome outcome = on_corpus({"--checkpoints", path("run"), "-o", path("run")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("100.0 %"));
  const base::Json json = record("run/routing_checkpoints.json");
  EXPECT_EQ(json["checkpoints"][0]["agreement"], (base::Json{1.0, 1.0})) << "one model twice";
  EXPECT_EQ(json["provenance"]["run"], path("run"));
  write_byte_model(folder_ / "run/step-3", 200);
  EXPECT_THAT(on_corpus({"--checkpoints", path("run")}).err, HasSubstr("must be of one shape"));
}

TEST_F(StudyRouting, TakesOneThingToStudy) {
  EXPECT_EQ(on_corpus({}).exit_code, 2);
  EXPECT_EQ(study({"-m", path("model")}).exit_code, 2);
  EXPECT_EQ(on_corpus({"-m", path("model"), "-p", "x"}).exit_code, 2);
  EXPECT_EQ(on_corpus({"-m", path("model"), "--checkpoints", path("run")}).exit_code, 2);
  EXPECT_EQ(study({"--checkpoints", path("run"), "-p", "x"}).exit_code, 2);
}

}  // namespace
}  // namespace dsmoe::apps
