// dsmoe upcycle: what a mixture made of a dense model computes, and what cannot be cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "apps/testing.h"
#include "engine/engine.h"
#include "formats/test_models.h"

namespace dsmoe::apps {
namespace {

using testing::HasSubstr;

constexpr int64_t kWidth = 24;  // of the dense FFN

// Weights large enough that an FFN left out, or scaled wrongly, changes every logit.
spec::ModelConfig dense_config() {
  spec::ModelConfig config = formats::small_dense();
  config.intermediate_size = kWidth;
  config.initializer_range = 0.5;
  return config;
}

std::vector<float> logits_of(const base::fs::path& model) {
  engine::Engine engine = engine::Engine::load(model);
  engine::Session session(engine);
  std::vector<int32_t> ids(30);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(7 * i % 40);
  const auto values = session.append_all(ids);
  return {values.begin(), values.end()};
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  return largest;
}

// A sum of kWidth products is cut into slices whose sums meet in another order: per layer a relative error of kWidth
// roundings of 2^-24 of the largest sum, twice for the gates' division and factor, over three layers; residuals and
// norms pass it on with a factor below 2 each.
double rounding_of(const std::vector<float>& logits) {
  double largest = 0;
  for (const float value : logits) largest = std::max(largest, std::abs(double{value}));
  return largest * 3 * 2 * kWidth * std::exp2(-24) * 8;
}

TEST(Upcycle, AMixtureComputesWhatItsDenseModelDoes) {
  const base::TestFolder folder;
  formats::write_model(folder / "dense", dense_config(), {.dtype = formats::Dtype::kF32});
  const std::vector<float> want = logits_of(folder / "dense");
  const double bound = rounding_of(want);
  const std::vector<std::vector<std::string>> cuts = {
      {},
      {"--slices", "4", "--copies", "3", "--copies-per-token", "2"},
      {"--slices", "6", "--shared", "0", "--copies", "2"},
      {"--slices", "12", "--shared", "9", "--copies", "5", "--copies-per-token", "5", "--first-dense", "1"},
      {"--slices", "2", "--copies", "4", "--copies-per-token", "2", "--seed", "9"},
  };
  for (size_t i = 0; i < cuts.size(); ++i) {
    const std::string path = folder / ("m" + std::to_string(i));
    std::vector<std::string> words = {"upcycle", folder / "dense", "-o", path};
    words.insert(words.end(), cuts[i].begin(), cuts[i].end());
    const Outcome result = run(words);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_LE(largest_difference(logits_of(path), want), bound) << i;
  }
}

TEST(Upcycle, ASliceThatIsNotPickedWithItsCopyShows) {
  const base::TestFolder folder;
  formats::write_model(folder / "dense", dense_config(), {.dtype = formats::Dtype::kF32});
  const std::vector<float> want = logits_of(folder / "dense");
  ASSERT_EQ(run({"upcycle", folder / "dense", "-o", folder / "m", "--slices", "4"}).exit_code, 0);
  // one router row of a copy apart from the others: its slice is not always picked with them
  const formats::ModelFolder mixture = formats::ModelFolder::open(folder / "m");
  base::fs::create_directories(folder / "changed");
  formats::ModelFolderWriter writer(folder / "changed", mixture.config(), {.dtype = formats::Dtype::kF32});
  for (const spec::TensorSpec& tensor : spec::tensors_of(mixture.config())) {
    std::vector<float> values = mixture.read_f32(tensor.name);
    if (tensor.name == "model.layers.1.mlp.gate.weight") values[0] += 1.0f;
    writer.append_f32(values);
  }
  writer.finish();
  EXPECT_GT(largest_difference(logits_of(folder / "changed"), want), 100 * rounding_of(want));
}

TEST(Upcycle, TellsWhatItMade) {
  const base::TestFolder folder;
  formats::write_model(folder / "dense", dense_config());
  const Outcome result = run({"upcycle", folder / "dense", "-o", folder / "m", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const base::Json json = base::parse_json(result.out, "standard output");
  EXPECT_EQ(json["n_routed_experts"], 56);
  EXPECT_EQ(json["num_experts_per_tok"], 7);
  EXPECT_EQ(json["n_shared_experts"], 1);
  EXPECT_EQ(json["moe_intermediate_size"], kWidth / 8);
  EXPECT_THAT(result.err, HasSubstr("dsmoe train"));
  EXPECT_EQ(formats::ModelFolder::open(folder / "m").dtype(), formats::Dtype::kBf16);
}

TEST(Upcycle, WhatCannotBeCutIsRefusedAndNothingWritten) {
  const base::TestFolder folder;
  formats::write_model(folder / "dense", dense_config());
  formats::write_model(folder / "mixture", formats::small_mixture());
  const auto refused = [&](const std::string& model, std::vector<std::string> words, const std::string& text) {
    words.insert(words.begin(), {"upcycle", folder / model, "-o", folder / "no"});
    const Outcome result = run(words);
    EXPECT_EQ(result.exit_code, 3) << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
    EXPECT_FALSE(base::fs::exists(folder / "no"));
  };
  refused("mixture", {}, "the model must be dense: it has 4 routed experts");
  refused("dense", {"--slices", "5"}, "--slices must divide the model's intermediate_size: 5 of 24");
  refused("dense", {"--slices", "1"}, "--slices must be 2 to 24: 1");
  refused("dense", {"--slices", "4", "--shared", "4"}, "--shared must be 0 to 3: 4");
  refused("dense", {"--copies", "2", "--copies-per-token", "3"}, "--copies-per-token must be 1 to 2: 3");
  refused("dense", {"--slices", "2"}, "a token must visit two routed experts or more");
  refused("dense", {"--first-dense", "3"}, "--first-dense must be 0 to 2: 3");
}

}  // namespace
}  // namespace dsmoe::apps
