// `dsmoe study disable|shared|fewer` and the same changes one by one in `dsmoe eval perplexity`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/test_corpus.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class StudyAblations : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 30);
    write_corpus(folder_, kFourTexts);
  }
  Outcome on_corpus(std::vector<std::string> words, const std::vector<std::string>& more = {}) const {
    words.insert(words.end(),
                 {"-m", (folder_ / "model").string(), "--data", (folder_ / "out").string(), "--split", "train"});
    words.insert(words.end(), more.begin(), more.end());
    return run(std::move(words));
  }
  base::Json scored(std::vector<std::string> more) const {
    more.emplace_back("--json");
    const Outcome outcome = on_corpus({"eval", "perplexity"}, more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return base::parse_json(outcome.out, "output");
  }
  base::TestFolder folder_{"ablations"};
};

// The small model has 6 routed experts, of which a token visits 2.
TEST_F(StudyAblations, EveryPointIsWhatPerplexityGivesUnderTheSameChange) {
  const std::string whole = (folder_ / "whole.jsonl").string();
  scored({"--samples", whole});
  const struct {
    const char* study;
    size_t point;
    std::vector<std::string> change;
  } kCases[] = {{"disable", 1, {"--masked-top-fraction", "0.1875"}},
                {"fewer", 0, {"--experts-per-tok", "1"}},
                {"shared", 1, {"--drop-shared"}}};
  for (const auto& one : kCases) {
    std::vector<std::string> more = {"-o", (folder_ / "studies").string()};
    if (one.study == std::string("disable")) more.insert(more.end(), {"--shares", "3/16"});
    const Outcome outcome = on_corpus({"study", one.study}, more);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto file = folder_ / "studies" / (std::string(one.study) + ".json");
    const base::Json study = base::parse_json(base::read_file(file), "study");
    const base::Json& point = study.at("points").at(one.point);
    std::vector<std::string> words = one.change;
    words.insert(words.end(), {"--against", whole});
    const base::Json alone = scored(words);
    EXPECT_EQ(point.at("nats_per_token"), alone.at("nats_per_token")) << one.study;
    EXPECT_NEAR(point.at("rise_stderr").get<double>(), alone.at("against").at("nats_per_token_stderr").get<double>(),
                1e-12)
        << one.study << alone.dump(1);
    EXPECT_NE(point.at("rise").get<double>(), 0) << one.study;
    EXPECT_EQ(study.at("provenance").at("split"), "train");
  }
  EXPECT_EQ(on_corpus({"study", "fewer"}, {"-o", (folder_ / "studies").string()}).exit_code, 4)
      << "nothing is replaced";
}

TEST_F(StudyAblations, ExpertsAreNamedByLayer) {
  const double untouched = scored({}).at("nats_per_token");
  EXPECT_NE(scored({"--mask-experts", "1:0,3"}).at("nats_per_token"), untouched);
  EXPECT_EQ(scored({"--mask-experts", "1:0,3"}).at("experts").at("mask_experts").at(0), "1:0,3");
  EXPECT_NE(scored({"--force-experts", "0,5"}).at("nats_per_token"), untouched);
  for (const char* wrong : {"1:", "a", "1:2,", "-1:0", "1:-2", ""}) {
    EXPECT_EQ(on_corpus({"eval", "perplexity"}, {std::string("--mask-experts=") + wrong}).exit_code, 2) << wrong;
  }
  EXPECT_THAT(on_corpus({"eval", "perplexity"}, {"--mask-experts", "1:6"}).err, HasSubstr("from 0 to 5"));
  EXPECT_THAT(on_corpus({"eval", "perplexity"}, {"--mask-experts", "77:0"}).err, HasSubstr("no such mixture layer"));
}

TEST_F(StudyAblations, SharesAndNumbersAreCheckedBeforeTheModelIsRead) {
  EXPECT_THAT(on_corpus({"study", "disable"}, {"--shares", "1.5"}).err, HasSubstr("from 0 to below 1"));
  EXPECT_THAT(on_corpus({"study", "disable"}, {"--shares", "1/0"}).err, HasSubstr("from 0 to below 1"));
  EXPECT_THAT(on_corpus({"study", "disable"}, {"--shares", "few"}).err, HasSubstr("0.25 or 4/16"));
  EXPECT_THAT(on_corpus({"study", "fewer"}, {"--experts", "7"}).err, HasSubstr("from 1 to 6"));
}

}  // namespace
}  // namespace dsmoe::apps
