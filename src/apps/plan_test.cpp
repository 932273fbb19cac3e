// dsmoe plan as a user meets it: words in, standard output and exit code out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/testing.h"
#include "base/json.h"
#include "base/test_files.h"
#include "formats/config_json.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

using testing::HasSubstr;

base::Json plan(std::vector<std::string> words) {
  words.insert(words.begin(), {"plan", "--json"});
  const Outcome result = run(words);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return base::parse_json(result.out, "standard output");
}

TEST(Plan, JsonHasTheFigures) {
  const base::Json json = plan({"deepseekmoe-16b"});
  EXPECT_EQ(json["params_total"], 16375728128);
  EXPECT_EQ(json["params_activated"], 2828650496);
  EXPECT_EQ(json["sequence_length"], 4096);
  EXPECT_EQ(json["weight_bytes"], 32751456256);
  EXPECT_EQ(json["kv_bytes_per_token"], 229376);
  EXPECT_NEAR(json["flops_per_sequence"].get<double>() / 1e12, 75.82, 0.005);
  EXPECT_NEAR(json["flops_per_sequence_nominal"].get<double>() / 1e12, 74.42, 0.005);
  EXPECT_TRUE(json["flops_per_sequence"].is_number_integer()) << "exact below 2^53";
  EXPECT_TRUE(json["seconds_per_step"].is_null());
  int64_t parts = 0;
  for (const auto& part : json["training_bytes_parts"]) parts += part.get<int64_t>();
  EXPECT_EQ(json["training_bytes"], parts);
  EXPECT_TRUE(plan({"mini-deepseekmoe"})["flops_per_sequence_nominal"].is_null());
}

TEST(Plan, OverridesReachTheFigures) {
  const base::Json before = plan({"mini-deepseekmoe"});
  const base::Json f32 = plan({"mini-deepseekmoe", "train.precision=f32"});
  EXPECT_EQ(f32["weight_bytes"], 2 * before["weight_bytes"].get<int64_t>());
  const base::Json smaller = plan({"mini-deepseekmoe", "train.micro_batch=1"});
  EXPECT_LT(smaller["training_bytes"], before["training_bytes"]);
  const base::Json again = plan({"mini-deepseekmoe", "train.recompute=true"});
  EXPECT_LT(again["training_bytes"], before["training_bytes"]);
  const base::Json timed = plan({"mini-deepseekmoe", "plan.flops_per_second=1e12"});
  EXPECT_DOUBLE_EQ(timed["seconds_per_step"].get<double>(), timed["flops_per_sequence"].get<double>() * 32 / 1e12);
}

TEST(Plan, TableAndLists) {
  EXPECT_THAT(run({"plan", "deepseekmoe-16b"}).out,
              testing::AllOf(HasSubstr("16,375,728,128"), HasSubstr("75.82 T"), HasSubstr("74.42 T"),
                             HasSubstr("224 KiB"), HasSubstr("30.5 GiB")));
  EXPECT_THAT(run({"plan", "--list"}).out, testing::AllOf(HasSubstr("tiny  "), HasSubstr("deepseekmoe-145b  ")));
  EXPECT_THAT(run({"plan", "--settings"}).out, HasSubstr("`train.seed`"));
  EXPECT_THAT(run({"plan", "tiny", "train.seed=3", "--print-config"}).out,
              testing::AllOf(HasSubstr("seed = 3"), HasSubstr("# command line"), HasSubstr("# preset tiny")));
}

TEST(Plan, AModelFolderIsAShapeToo) {
  const base::TestFolder folder;
  const spec::ModelConfig model = spec::resolve("deepseekmoe-16b").config.model;
  folder.write("config.json", base::dump_json(formats::config_to_json(model, formats::Dtype::kBf16)));
  const base::Json json = plan({folder.path().string()});
  EXPECT_EQ(json["params_total"], 16375728128);
  EXPECT_EQ(json["sequence_length"], 4096);
  EXPECT_EQ(plan({folder.path().string(), "model.n_shared_experts=1"})["params_total"],
            16375728128 - 27 * 3 * 2048 * 1408);
}

TEST(Plan, MistakesHaveTheirExitCodes) {
  const Outcome unknown = run({"plan", "tiny", "train.sed=3"});
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_EQ(unknown.err, "error: [command line] unknown key: \"train.sed\"; did you mean train.seed?\n");
  EXPECT_EQ(unknown.out, "");
  EXPECT_EQ(run({"plan"}).exit_code, 2);
  EXPECT_EQ(run({"plan", "tiny", "--jsn"}).exit_code, 2);
  EXPECT_EQ(run({"plan", "no/such.toml"}).exit_code, 4);
  EXPECT_EQ(run({"plan", "tinny"}).exit_code, 3);
}

}  // namespace
}  // namespace dsmoe::apps
