// Where two readings of one text part, on readings of one's own choosing.
#include "study/model_diff.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/test_files.h"
#include "charts/testing.h"
#include "study/report.h"

namespace dsmoe::study {
namespace {

using ::testing::HasSubstr, ::testing::SizeIs;

/// Two windows of three and four tokens, each token's target one higher than itself.
ReadText text() { return {{"prose", "code"}, {{0, 0, 3}, {1, 3, 7}}, {1, 2, 3, 4, 5, 6, 7}, {2, 3, 4, 5, 6, 7, 8}}; }

Reading reading(std::vector<double> nats, int64_t picks, std::vector<uint16_t> experts) {
  Reading made{std::move(nats), {}};
  made.routing.layers = {3};
  made.routing.n_routed_experts = 4;
  made.routing.num_experts_per_tok = picks;
  made.routing.tokens = text().tokens;
  made.routing.experts = {std::move(experts)};
  return made;
}

const std::vector<double> kFirst = {1, 1, 1, 2, 2, 2, 2}, kSecond = {1, 1.05, 6, 2, 1.25, 2, 4.5};

ModelDiff diff() {
  const Reading a = reading(kFirst, 1, {0, 1, 2, 3, 0, 1, 2}),
                b = reading(kSecond, 2, {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  ModelDiff made = diff_models(text(), a, b, {{"all", 7, 1.5, 2.5, 0.5}, {"code", 4, 2, 2.25, std::nan("")}}, nullptr);
  made.a = "first", made.b = "second <b>";
  return made;
}

TEST(ModelDiff, FindsTheLargestDifferencesOfEitherSign) {
  const ModelDiff found = diff();
  ASSERT_THAT(found.b_worse, SizeIs(3));
  EXPECT_EQ(found.b_worse[0].token.text, "4");
  EXPECT_EQ(found.b_worse[0].before, "1 2 3 ") << "its window alone";
  EXPECT_EQ(found.b_worse[0].behind, "");
  EXPECT_EQ(found.b_worse[1].token.text, "8");
  EXPECT_EQ(found.b_worse[1].domain, "code");
  ASSERT_THAT(found.a_worse, SizeIs(1));
  EXPECT_EQ(found.a_worse[0].token.b, 1.25);
  EXPECT_EQ(found.a_worse[0].behind, "7 8 ");
}

TEST(ModelDiff, StepsHoldEveryTokenAndSumToTheMean) {
  int64_t tokens = 0;
  double nats = 0, mean = 0;
  for (const ModelDiff::Step& step : diff().steps) tokens += step.tokens, nats += step.nats;
  for (size_t t = 0; t < kFirst.size(); ++t) mean += (kSecond[t] - kFirst[t]) / 7;
  EXPECT_EQ(tokens, 7);
  EXPECT_NEAR(nats, mean, 1e-12);
  EXPECT_EQ(diff().steps.back().tokens, 1) << "five nats are beyond the last edge";
}

TEST(ModelDiff, ExpertsInCommonAreSharesOfTheFirstsPicks) {
  const ModelDiff found = diff();
  ASSERT_THAT(found.layers, SizeIs(1));
  EXPECT_EQ(found.layers[0].layer, 3);
  EXPECT_NEAR(found.layers[0].same, 4.0 / 7, 1e-12);
  EXPECT_NEAR(found.layers[0].chance, 4.0 / 7, 1e-12) << "the second picks 0 and 1 whatever it reads";
  Reading other = reading(kSecond, 1, {0, 1, 2, 3, 0, 1, 2});
  other.routing.n_routed_experts = 8;
  EXPECT_TRUE(diff_models(text(), reading(kFirst, 1, {0, 1, 2, 3, 0, 1, 2}), other, {}, nullptr).layers.empty());
}

TEST(ModelDiff, ALossThatIsNoNumberIsAnError) {
  std::vector<double> broken = kSecond;
  broken[3] = std::numeric_limits<double>::infinity();
  const Reading a = reading(kFirst, 1, {0, 1, 2, 3, 0, 1, 2}), b = reading(broken, 1, {0, 1, 2, 3, 0, 1, 2});
  EXPECT_THROW(diff_models(text(), a, b, {}, nullptr), base::Error);
}

TEST(ModelDiff, TheRecordComesBackAndDamageIsNamed) {
  const base::Json json = to_json(diff());
  EXPECT_EQ(to_json(model_diff_from_json(json, "f")), json);
  for (const char* key : {"format", "a", "domains", "steps", "b_worse", "a_worse", "passages", "layers"}) {
    base::Json damaged = json;
    damaged.erase(key);
    EXPECT_THAT(base::message_of([&] { model_diff_from_json(damaged, "f"); }), HasSubstr(key));
    damaged[key] = 3;
    EXPECT_THROW(model_diff_from_json(damaged, "f"), base::Error) << key;
  }
  base::Json empty = json;
  empty["domains"] = base::Json::array();
  EXPECT_THROW(model_diff_from_json(empty, "f"), base::Error);
}

TEST(ModelDiff, JoinsThePageOfARun) {
  const base::TestFolder folder;
  folder.write("metrics.jsonl", "{\"step\":1,\"tokens\":100,\"loss\":9.0}\n");
  folder.write("diff.json", base::dump_json(to_json(diff())));
  const std::string page = render_report({read_run(folder.path())}, "t");
  EXPECT_THAT(
      page, HasSubstr("B is worse than A by 1.0000 nats per token (standard error over documents 0.5000), on the same "
                      "7 tokens.<br>A: first<br>B: second &lt;b&gt;"));
  EXPECT_THAT(page, HasSubstr("<mark>4</mark>"));
  size_t figures = 0;
  const base::Json data = charts::data_of(page);
  for (const base::Json& figure : data.at("figures")) figures += figure.at("rows").empty() ? 0 : 1;
  EXPECT_GE(figures, 6u);
  const auto tokens = charts::matches(
      page, "color-mix\\(in srgb,var\\(--(above|below)\\) (\\d+)%,transparent\\)\" title=\"([^\"]*)\">([^<]*)<");
  ASSERT_EQ(tokens.size(), 7u);
  EXPECT_EQ(tokens[2][1].str() + tokens[2][2].str(), "above65") << "full at two nats";
  EXPECT_EQ(tokens[4][1].str(), "below");
}

}  // namespace
}  // namespace dsmoe::study
