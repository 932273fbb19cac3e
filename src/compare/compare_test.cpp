// Plans, budgets, verdicts, results and pages; runner_test.cpp has what carries a plan out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"
#include "compare/page.h"
#include "compare/testing.h"

namespace dsmoe::compare {
namespace {

using testing::HasSubstr;
using Runs = std::vector<compare::Run>;

std::string refusal(const std::string& text) {
  try {
    parse_plan(text, "plan");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Plan, ReadsArmsInTheirOrderWithNestedAndQuotedSettings) {
  const Plan plan = parse_plan(R"(
title = "t"
tokens = 4096
seeds = [1, 2]
[set]
train.global_batch = 8
"train.log_every" = 5
[[arms]]
name = "z"
preset = "nano-dense"
set = { train.learning_rate = 0.001 }
[[arms]]
name = "a"
label = "The other"
preset = "nano-gshard"
)",
                               "plan");
  EXPECT_EQ(plan.arms[0].name, "z");
  EXPECT_EQ(plan.arms[1].label, "The other");
  EXPECT_EQ(plan.settings, (Settings{"train.global_batch=8", "train.log_every=5"}));
  EXPECT_EQ(plan.arms[0].settings, (Settings{"train.learning_rate=0.001"}));
}

TEST(Plan, AGridSpreadsEveryArm) {
  const Plan plan = parse_plan(std::string(kTwoArms) + R"(
[[grid]]
key = "train.learning_rate"
values = [0.001, 0.002]
[[grid]]
key = "model.initializer_range"
values = [0.006, 0.02]
)",
                               "plan");
  ASSERT_EQ(plan.arms.size(), 8u);
  EXPECT_EQ(plan.arms[1].name, "gshard_learning_rate-0.001_initializer_range-0.02");
  EXPECT_EQ(plan.arms[1].family, "gshard");
}

TEST(Plan, TheProjectsOwnPlansCanBeRun) {
  int plans = 0;
  for (const auto& entry : base::fs::directory_iterator("configs/comparisons")) {
    SCOPED_TRACE(entry.path().string());
    const Plan plan = read_plan(entry.path());
    EXPECT_NO_THROW(require_equal_budgets(plan, runs_of(plan)));
    ++plans;
  }
  EXPECT_GE(plans, 5);
}

constexpr const char* kSizes = R"(
title = "t"
tokens = 4096
seeds = [1]
[[arms]]
name = "gshard"
preset = "{size}-gshard"
[[arms]]
name = "deepseekmoe"
preset = "{size}-deepseekmoe"
)";
constexpr const char* kSizeGrid = "[[grid]]\nkey = \"size\"\nvalues = [\"nano\", \"mini\"]\n";
constexpr const char* kTokensGrid = "[[grid]]\nkey = \"tokens\"\nvalues = [65_536, 131_072]\n";

TEST(Plan, SizesAndBudgetsAreGridsWithinWhichArmsAreEqual) {
  const Plan plan = parse_plan(std::string(kSizes) + kSizeGrid + kTokensGrid, "plan");
  ASSERT_EQ(plan.arms.size(), 8u);
  EXPECT_EQ(plan.arms[3].name, "gshard_mini_tokens-131072");
  EXPECT_EQ(plan.arms[3].preset, "mini-gshard");
  EXPECT_EQ(plan.arms[3].group, "size mini, tokens 131072");
  EXPECT_EQ(plan.arms[7].group, plan.arms[3].group);
  const Runs runs = runs_of(plan);
  EXPECT_EQ(budget_of(runs[3].config.config).tokens, 131072);
  EXPECT_EQ(budget_of(runs[2].config.config).tokens, 65536);
  EXPECT_NO_THROW(require_equal_budgets(plan, runs)) << "sizes and budgets differ, the arms of each do not";
  EXPECT_THAT(basis(summarise(plan, runs, {})), HasSubstr("Within each of 4 sizes and budgets every arm learnt from"));
}

TEST(Plan, AnArmsOwnTokensAreNoBudgetOfTheirOwn) {
  const Plan plan = parse_plan(
      std::string(kTwoArms) + "[[arms]]\nname = \"long\"\npreset = \"nano-gshard\"\n" + "tokens = 1_000_000_000\n",
      "plan");
  const Runs runs = runs_of(plan);
  EXPECT_THROW(require_equal_budgets(plan, runs), base::Error);
}

TEST(Plan, RefusesSizesAndBudgetsThatAreNotMeant) {
  const std::string sizes = kSizes;
  EXPECT_THAT(refusal(sizes), HasSubstr("{size} in a preset needs a grid of size"));
  EXPECT_THAT(refusal(std::string(kTwoArms) + kSizeGrid), HasSubstr("every preset has {size}"));
  EXPECT_THAT(refusal(std::string(kTwoArms) + "[[grid]]\nkey = \"tokens\"\nvalues = [\"many\"]\n"),
              HasSubstr("tokens are whole numbers"));
  EXPECT_THAT(
      refusal(std::string(kTwoArms) + "[[arms]]\nname = \"x\"\npreset = \"nano-gshard\"\ntokens = 5\n" + kTokensGrid),
      HasSubstr("tokens of its own beside a grid"));
  EXPECT_THAT(refusal("smallest_effect = 0.01\n" + sizes + kSizeGrid +
                      "[[claims]]\ntext = \"c\"\narm = \"gshard_nano\"\nagainst = \"gshard_mini\"\n"),
              HasSubstr("compares arms of different size or tokens"));
}

TEST(Plan, RefusesWhatItCannotMean) {
  const std::string good = kTwoArms;
  EXPECT_EQ(refusal(good), "accepted");
  EXPECT_THAT(refusal("tokenz = 1\n" + good), HasSubstr("did you mean tokens"));
  EXPECT_THAT(refusal(good + "[[arms]]\nname = \"gshard\"\npreset = \"nano-gshard\"\n"),
              HasSubstr("two arms have one name"));
  EXPECT_THAT(refusal(good + "[[arms]]\nname = \"../x\"\npreset = \"nano-gshard\"\n"), HasSubstr("letters, digits"));
  EXPECT_THAT(refusal(good + "[[arms]]\nname = \"x\"\npreset = \"tiny\"\nset = { train.steps = 5 }\n"),
              HasSubstr("steps follow from the plan's tokens"));
  EXPECT_THAT(refusal(good + "[[claims]]\ntext = \"c\"\narm = \"gshrd\"\nagainst = \"deepseekmoe\"\n"),
              HasSubstr("did you mean gshard"));
  EXPECT_THAT(refusal("unequal = [\"speed\"]\n" + good), HasSubstr("unequal knows"));
  EXPECT_THAT(
      refusal(good +
              "[[claims]]\ntext = \"c\"\narm = \"gshard\"\nagainst = \"deepseekmoe\"\nexpects = \"no_higher\"\n"),
      HasSubstr("margin"));
}

TEST(Budget, StepsAndWarmUpFollowFromTokens) {
  const Plan plan = parse_plan(kTwoArms, "plan");
  const Runs runs = runs_of(plan);
  ASSERT_EQ(runs.size(), 6u);
  EXPECT_EQ(runs[1].name(), "deepseekmoe-seed1") << "all arms of a seed before the next seed";
  const spec::TrainConfig& train = runs[0].config.config.train;
  EXPECT_EQ(train.steps, 244) << "1,000,000 / (8 x 512), rounded";
  EXPECT_EQ(train.warmup_steps, 12);
  EXPECT_EQ(train.seed, 1);
}

TEST(Budget, CountsTheRouter) {
  const Plan plan = parse_plan(kTwoArms, "plan");
  const Runs runs = runs_of(plan);
  const Budget budget = budget_of(runs[0].config.config);
  EXPECT_EQ(budget.total.router, 4 * 128 * 16);
  EXPECT_EQ(budget.flops_per_sequence,
            spec::flops_per_sequence(runs[0].config.config.model, 512) + 6.0 * 512 * 4 * 128 * 16);
}

TEST(Budget, RefusesArmsThatAreNotEqual) {
  const auto refused = [](const std::string& text) -> std::string {
    const Plan plan = parse_plan(text, "plan");
    try {
      require_equal_budgets(plan, runs_of(plan));
    } catch (const base::Error& error) {
      return error.what();
    }
    return "accepted";
  };
  const std::string dense = "[[arms]]\nname = \"dense\"\npreset = \"nano-dense\"\n";
  EXPECT_EQ(refused(kTwoArms), "accepted");
  EXPECT_THAT(refused(std::string(kTwoArms) + dense), HasSubstr("parameters of the blocks in total"));
  EXPECT_EQ(refused("unequal = [\"total_parameters\", \"activated_parameters\", \"flops\"]\n" + std::string(kTwoArms) +
                    dense),
            "accepted");
  EXPECT_THAT(refused(std::string(kTwoArms) +
                      "[[arms]]\nname = \"long\"\npreset = \"nano-gshard\"\nset = { train.global_batch = 24 }\n"),
              HasSubstr("equal tokens"));
}

ClaimResult only_claim(const Plan& plan, double advantage, double scatter) {
  const AdditiveFit fit(made_up_losses(plan, advantage, scatter), plan.arms.size(), plan.seeds.size());
  const Evidence evidence{fit.difference(0, 1), fit.standard_error(0, 1), fit.degrees_of_freedom(), fit.residual(), 2};
  return test_claims(plan, {evidence}).at(0);
}

TEST(Verdict, HoldsOrNotOrUndecidedWithTheSeedsThatWouldDecide) {
  const Plan plan = parse_plan(kTwoArmsAndAClaim, "plan");
  EXPECT_EQ(only_claim(plan, 0.05, 0.001).verdict, Verdict::kHolds);
  EXPECT_EQ(only_claim(plan, -0.05, 0.001).verdict, Verdict::kDoesNotHold);
  EXPECT_EQ(only_claim(plan, 0.0001, 0.0002).verdict, Verdict::kDoesNotHold)
      << "too small to matter, and that is certain";
  const ClaimResult open = only_claim(plan, 0.02, 0.02);
  EXPECT_EQ(open.verdict, Verdict::kNotDecided);
  ASSERT_TRUE(open.seeds_to_decide);
  EXPECT_GT(*open.seeds_to_decide, 3);
  EXPECT_THAT(sentence(open), HasSubstr("seeds would decide"));
}

TEST(Result, SurvivesItsFileAndIsSmall) {
  const Plan plan = parse_plan(kTwoArms, "plan");
  const Runs runs = runs_of(plan);
  const RunResult made = made_up_result(runs[0], 4.25);
  const std::string text = base::dump_json(to_json(made), 1);
  EXPECT_LT(text.size(), 50'000u);
  const RunResult read = result_from_json(base::parse_json(text, "r"), "r");
  EXPECT_EQ(to_json(read), to_json(made));
  require_result_of(read, runs[0], "r");
  EXPECT_THROW(require_result_of(read, runs[1], "r"), base::Error);
  RunResult older = read;
  older.config["train"].erase("lora_rank");
  EXPECT_NO_THROW(require_result_of(older, runs[0], "r")) << "of a setting that came later it had the default";
  older.config["model"].erase("hidden_size");
  EXPECT_THROW(require_result_of(older, runs[0], "r"), base::Error) << "which is not the plan's";
}

TEST(Result, RefusesOtherFormatsBuildsAndData) {
  const base::TestFolder folder("results");
  const Plan plan = parse_plan(kTwoArms, "plan");
  const Runs runs = runs_of(plan);
  RunResult one = made_up_result(runs[0], 4.2), two = made_up_result(runs[1], 4.1);
  const auto write = [&] {
    base::write_file(folder / "a.json", base::dump_json(to_json(one)));
    base::write_file(folder / "b.json", base::dump_json(to_json(two)));
  };
  write();
  EXPECT_EQ(read_results(folder.path()).size(), 2u);
  two.build.isa = "avx2";
  write();
  EXPECT_THROW(read_results(folder.path()), base::Error);
  two.build = one.build;
  two.data_hash = "another";
  write();
  EXPECT_THROW(read_results(folder.path()), base::Error);
  base::write_file(folder / "b.json", "{\"format\": \"routing\"}");
  EXPECT_THROW(read_results(folder.path()), base::Error);
}

TEST(Spikes, CountsEachOnce) {
  std::vector<double> losses;
  for (int i = 0; i < 400; ++i) losses.push_back(5 - 0.002 * i + (i % 2 == 0 ? 0.01 : -0.01));
  EXPECT_EQ(count_spikes(losses), 0);
  losses[200] += 1;
  losses[201] += 0.8;
  losses[350] += 1;
  EXPECT_EQ(count_spikes(losses), 2);
}

TEST(Pages, SayWhatWasComparedFirstAndHoldEveryRun) {
  const Plan plan = parse_plan(kTwoArmsAndAClaim, "plan");
  const Runs runs = runs_of(plan);
  std::vector<RunResult> results;
  for (const compare::Run& run : runs) results.push_back(made_up_result(run, run.arm->name == "gshard" ? 4.30 : 4.20));
  results.pop_back();
  const Summary summary = summarise(plan, runs, results);
  EXPECT_EQ(summary.finished, 5u);
  EXPECT_EQ(summary.claims.at(0).verdict, Verdict::kHolds);
  EXPECT_THAT(basis(summary), HasSubstr("same 999424 tokens"));
  EXPECT_THAT(basis(summary), HasSubstr("5 of 6 runs are finished"));
  const std::string markdown = markdown_page(summary), html = html_page(summary), csv = csv_table(summary);
  EXPECT_LT(markdown.find(basis(summary)), markdown.find("## "));
  EXPECT_THAT(html, HasSubstr("DeepSeekMoE beats GShard"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 6) << "a head and a row for each finished run";
  const Plan other =
      parse_plan("title = 'other'\ntokens = 4096\nseeds = [9]\n[[arms]]\nname = 'x'\npreset = 'tiny'\n", "p");
  const Runs of_another = runs_of(other);
  EXPECT_THROW(summarise(plan, runs, {made_up_result(of_another[0], 1)}), base::Error);
}

TEST(Studies, ClaimsSpeakOfWhatModelsLoseAndOfAModelBesideItself) {
  const Plan plan = parse_plan(kStudiedArms, "plan");
  const Runs runs = runs_of(plan);
  std::vector<RunResult> results;
  std::vector<RunStudies> studies;
  for (const compare::Run& run : runs) {
    const bool gshard = run.arm->name == "gshard";
    results.push_back(made_up_result(run, gshard ? 4.30 : 4.20));
    studies.push_back(made_up_studies(run, (gshard ? 0.1 : 0.4) + 0.0001 * static_cast<double>(run.seed)));
  }
  const Summary summary = summarise(plan, runs, results, studies);
  EXPECT_NEAR(*summary.claims.at(0).advantage, 0.3, 1e-9);
  EXPECT_EQ(summary.claims.at(0).verdict, Verdict::kHolds);
  EXPECT_NEAR(*summary.claims.at(1).advantage, 0.4 + 0.0002, 1e-3);
  EXPECT_EQ(summary.claims.at(1).verdict, Verdict::kHolds);
  EXPECT_THAT(sentence(summary.claims.at(0)), HasSubstr("gshard (rise with the best 1/16 of its experts masked)"));
  const std::string markdown = markdown_page(summary), html = html_page(summary);
  for (const std::string* page : {&markdown, &html}) {
    EXPECT_THAT(*page, HasSubstr("4 of 63 masked"));
    EXPECT_THAT(*page, HasSubstr("0 shared + 8 routed"));
    EXPECT_THAT(*page, HasSubstr("at chance (0.250)"));
    EXPECT_THAT(*page, HasSubstr("0.0220")) << "three seeds over the same items have the error of one";
  }
  EXPECT_FALSE(summarise(plan, runs, results).claims.at(0).advantage) << "not studied, not tested";
}

TEST(Studies, SurviveTheirFile) {
  const Plan plan = parse_plan(kStudiedArms, "plan");
  const Runs runs = runs_of(plan);
  const RunStudies made = made_up_studies(runs[1], 0.4);
  const std::string text = base::dump_json(to_json(made));
  EXPECT_LT(text.size(), 500'000u);
  const RunStudies read = run_studies_from_json(base::parse_json(text, "s"), "s");
  EXPECT_EQ(read.ablations.size(), 2u);
  EXPECT_EQ(base::dump_json(to_json(read)), text);
  EXPECT_THROW(run_studies_from_json(base::parse_json("{\"format\": \"x\"}", "s"), "s"), base::Error);
}

TEST(Studies, PlansAskOnlyForWhatTheyMeasure) {
  const std::string claim = "[[claims]]\ntext = \"c\"\narm = \"gshard\"\nagainst = \"deepseekmoe\"\n";
  const std::string head = "studies = [\"disable\"]\n", arms = kTwoArms;
  EXPECT_THAT(refusal("studies = [\"disabled\"]\n" + arms), HasSubstr("studies knows disable, shared and fewer"));
  EXPECT_THAT(refusal(head + arms + claim + "figure = { experts_per_tok = 4 }\n"),
              HasSubstr("add \"fewer\" to studies"));
  EXPECT_THAT(refusal(head + arms + claim + "figure = { masked = 4 }\n"), HasSubstr("a figure has"));
  EXPECT_THAT(refusal(head + arms + claim + "figure = { masked_top_fraction = 1.5 }\n"),
              HasSubstr("from 0 to below 1"));
  EXPECT_EQ(refusal(head + arms + claim + "figure = { masked_top_fraction = 0.125 }\n"), "accepted");
}

}  // namespace
}  // namespace dsmoe::compare
