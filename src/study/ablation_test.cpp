// Which points the studies of ablations look at, and that what they find survives its file.
#include "study/ablation.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace dsmoe::study {
namespace {

using engine::Intervention;

spec::ModelConfig mixture(int64_t routed, int64_t shared, int64_t visited) {
  spec::ModelConfig config;
  config.n_routed_experts = routed;
  config.n_shared_experts = shared;
  config.num_experts_per_tok = visited;
  return config;
}

std::vector<std::string> labels(const Ablation& study) {
  std::vector<std::string> out;
  for (const AblationPoint& point : study.points) out.push_back(point.label);
  return out;
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

// A score that tells the state of the model it stands for.
AblationScore made_up(const Intervention& intervention) {
  AblationScore score;
  score.total.tokens = 10;
  score.total.bytes = 20;
  score.total.nats = 20 + 100 * intervention.masked_top_fraction + static_cast<double>(intervention.experts_per_tok) +
                     (intervention.drop_shared ? 5 : 0);
  score.domains.emplace_back("prose", score.total);
  if (!(intervention == Intervention{})) score.rise_error = 0.25;
  return score;
}

TEST(Ablation, DisableMasksWholeExpertsAndBeginsWithTheUntouchedModel) {
  // 63 / 16 = 3.94: the shares of Figure 4 are 4, 8, 12 and 16 of 63 experts.
  const Ablation fine = disable_study(mixture(63, 1, 7), {1 / 16.0, 2 / 16.0, 3 / 16.0, 4 / 16.0});
  EXPECT_EQ(labels(fine), (std::vector<std::string>{"0 of 63 masked", "4 of 63 masked", "8 of 63 masked",
                                                    "12 of 63 masked", "16 of 63 masked"}));
  EXPECT_TRUE(fine.points[0].untouched());
  EXPECT_EQ(fine.points[4].intervention.top_experts_masked(mixture(63, 1, 7)), 16);
  EXPECT_DOUBLE_EQ(fine.points[4].x, 16.0 / 63);
  // A share too small for one expert is the untouched model, once.
  EXPECT_EQ(labels(disable_study(mixture(8, 0, 2), {0.01, 0, 0.02, 0.12})),
            (std::vector<std::string>{"0 of 8 masked", "1 of 8 masked"}));
}

TEST(Ablation, SharedExpertsAreSwappedForAsManyRoutedOnes) {
  const Ablation study = shared_study(mixture(62, 2, 6));
  EXPECT_EQ(labels(study), (std::vector<std::string>{"2 shared + 6 routed", "0 shared + 6 routed",
                                                     "0 shared + 8 routed", "2 shared + 4 routed"}));
  EXPECT_TRUE(study.points[0].untouched());
  EXPECT_TRUE(study.points[2].intervention.drop_shared);
  EXPECT_EQ(study.points[2].intervention.experts_per_tok, 8);
  EXPECT_FALSE(study.points[3].intervention.drop_shared);
  // With one routed expert there is none to take away instead.
  EXPECT_EQ(labels(shared_study(mixture(15, 1, 1))).size(), 3u);
}

TEST(Ablation, FewerCountsFromOneToTheTrainedNumber) {
  EXPECT_EQ(labels(fewer_study(mixture(16, 0, 2), {})),
            (std::vector<std::string>{"1 routed", "2 routed (as trained)"}));
  EXPECT_EQ(labels(fewer_study(mixture(63, 1, 7), {5, 3, 9})),
            (std::vector<std::string>{"3 routed", "5 routed", "7 routed (as trained)", "9 routed"}));
}

TEST(Ablation, WhatAModelCannotDoIsRefusedByName) {
  EXPECT_NE(refusal([] { disable_study(mixture(0, 0, 0), {0.1}); }).find("no mixture layer"), std::string::npos);
  EXPECT_NE(refusal([] { fewer_study(mixture(0, 0, 0), {}); }).find("no mixture layer"), std::string::npos);
  EXPECT_NE(refusal([] { shared_study(mixture(16, 0, 2)); }).find("no shared expert"), std::string::npos);
  EXPECT_NE(refusal([] { disable_study(mixture(16, 0, 2), {0.95}); }).find("masks must leave"), std::string::npos);
  EXPECT_NE(refusal([] { fewer_study(mixture(16, 0, 2), {17}); }).find("from 1 to 16"), std::string::npos);
  EXPECT_NE(refusal([] { fewer_study(mixture(16, 0, 2), {0}); }).find("at least one"), std::string::npos);
}

TEST(Ablation, RisesAreAboveTheUntouchedModelAndSurviveTheFile) {
  Ablation study = disable_study(mixture(63, 1, 7), {4 / 63.0});
  score_points(study, made_up);
  EXPECT_DOUBLE_EQ(study.rise(study.untouched()), 0);
  EXPECT_NEAR(study.rise(study.points[1]), 10 * 4 / 63.0, 1e-12);
  const Ablation read = ablation_from_json(base::parse_json(base::dump_json(to_json(study)), "x"), "x");
  EXPECT_EQ(labels(read), labels(study));
  EXPECT_EQ(read.kind, AblationKind::kDisable);
  EXPECT_EQ(read.points[1].intervention, study.points[1].intervention);
  EXPECT_NEAR(read.rise(read.points[1]), study.rise(study.points[1]), 1e-9);
  EXPECT_EQ(read.points[1].score.rise_error, 0.25);
  EXPECT_EQ(read.points[1].score.domains.at(0).first, "prose");
  EXPECT_NE(ablation_table(read).find("4 of 63 masked"), std::string::npos);
}

TEST(Ablation, FilesOfAnotherKindAreRefused) {
  Ablation study = fewer_study(mixture(16, 0, 2), {});
  score_points(study, made_up);
  const base::Json good = to_json(study);
  const auto refused = [&](const std::function<void(base::Json&)>& change) {
    base::Json json = good;
    change(json);
    return refusal([&] { ablation_from_json(json, "file.json"); });
  };
  EXPECT_NE(refused([](base::Json& json) { json["format"] = "other"; }).find("dsmoe study"), std::string::npos);
  EXPECT_NE(refused([](base::Json& json) { json["study"] = "more"; }).find("disable, shared or fewer"),
            std::string::npos);
  EXPECT_NE(refused([](base::Json& json) { json["points"].erase(1); }).find("untouched"), std::string::npos);
  EXPECT_NE(refused([](base::Json& json) { json["points"][0]["tokens"] = 0; }).find("tokens"), std::string::npos);
}

}  // namespace
}  // namespace dsmoe::study
