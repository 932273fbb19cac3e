// One text read token by token, and routers compared along training.
#include "study/routing_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"
#include "corpus/test_corpus.h"
#include "engine/reference.h"
#include "engine/testing.h"
#include "formats/model_folder_writer.h"
#include "study/routing_saturation.h"
#include "study/routing_testing.h"

namespace dsmoe::study {
namespace {

using testing::draw, testing::make_trace, testing::TraceShape;
using ::testing::HasSubstr;

spec::ModelConfig byte_config(const std::string& odd) {
  spec::ModelConfig config = engine::testing::odd_config(odd).config;
  config.vocab_size = 258;
  return config;
}

TEST(RoutingText, HasEveryChoiceOfTheDefinition) {
  for (const char* name : {"softmax_topk", "every_second_layer", "deepseek_v3", "hash_two"}) {
    const spec::ModelConfig config = byte_config(name);
    engine::Engine engine(engine::testing::random_weights(config), {.threads = 1, .chunk = 5});
    const auto ids = engine::testing::random_ids(config, 17);
    const TextRouting got = route_text(engine, ids);
    const auto want = engine::reference_forward(engine.weights(), ids);
    const auto K = static_cast<size_t>(config.num_experts_per_tok);
    const base::Json json = to_json(got, nullptr, 1 << 20);
    EXPECT_EQ(json["ids"], ids);
    for (size_t l = 0; l < got.layers.size(); ++l) {
      ASSERT_EQ(got.experts[l].size(), ids.size() * K);
      for (size_t t = 0; t < ids.size() && want.margins_T[t] > 1e-5; ++t) {
        const auto& choice = want.choices[static_cast<size_t>(got.layers[l])][t];
        EXPECT_EQ(json["experts"][l][t], choice.experts) << name;
        for (size_t k = 0; k < K; ++k) {
          EXPECT_NEAR(got.weights[l][t * K + k], choice.gates[k], 1e-4) << name;
          EXPECT_NEAR(json["weights"][l][t][k].get<double>(), choice.gates[k], 2e-4) << name;
        }
      }
    }
  }
}

TEST(RoutingText, ALongOneIsCutAndSaysSo) {
  engine::Engine engine(engine::testing::random_weights(byte_config("softmax_topk")), {.threads = 1});
  const auto ids = engine::testing::random_ids(byte_config("softmax_topk"), 200);
  const tokenizer::Tokenizer tokenizer(corpus::byte_tokenizer({"<bos>", "<eos>"}));
  const TextRouting routing = route_text(engine, ids);
  EXPECT_TRUE(to_json(routing, &tokenizer, 1 << 20)["cut"].empty());
  const base::Json cut = to_json(routing, &tokenizer, 5000);
  EXPECT_LE(base::dump_json(cut).size(), 5000u);
  EXPECT_GT(cut["ids"].size(), 10u);
  for (const char* key : {"texts", "experts", "weights"}) {
    const base::Json& list = key == std::string("texts") ? cut[key] : cut[key][1];
    EXPECT_EQ(list.size(), cut["ids"].size()) << key;
  }
  EXPECT_THAT(cut["cut"][0].get<std::string>(), HasSubstr("of 200 tokens"));
  EXPECT_THAT(text_table(routing, &tokenizer, 40), HasSubstr("the first 1 of 2 mixture layers"));
}

TEST(RoutingText, ADenseModelAndATextTooLongAreRefused) {
  engine::Engine dense(engine::testing::random_weights(byte_config("dense_llama_grouped_heads")), {.threads = 1});
  const std::vector<int32_t> ids(301, 1);
  EXPECT_THROW(route_text(dense, std::span(ids).first(3)), base::Error);
  engine::Engine engine(engine::testing::random_weights(byte_config("softmax_topk")), {.threads = 1});
  EXPECT_THROW(route_text(engine, ids), base::Error);
  EXPECT_THROW(route_text(engine, {}), base::Error);
}

class RouterSaturationTest : public ::testing::Test {
 protected:
  void checkpoint(const std::string& name, const spec::ModelConfig& config, uint64_t seed = 1) {
    base::fs::create_directories(folder_ / name);
    const auto tensors = engine::testing::random_tensors(config, seed);
    formats::ModelFolderWriter writer(folder_ / name, config, {.dtype = formats::Dtype::kF32}, base::unsynced_files);
    for (const auto& tensor : spec::tensors_of(config)) {
      const std::vector<float>& values = tensors.at(tensor.name).values;
      if (tensor.role == spec::TensorRole::kHashTable) {
        writer.append_i32(std::vector<int32_t>(values.begin(), values.end()));
      } else {
        writer.append_f32(values);
      }
    }
    writer.finish();
  }
  std::string refusal(base::ErrorKind kind = base::ErrorKind::kInvalid) {
    try {
      require_same_routers(checkpoint_folders(folder_.path()));
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    return "no error";
  }
  base::TestFolder folder_{"saturation"};
};

TEST_F(RouterSaturationTest, FoldersAreThoseOfStepsInTheirOrder) {
  for (const char* name : {"step-00000100", "step-20", "step-3", "step-", "step-4x", "aside-step-5", "latest"}) {
    base::fs::create_directories(folder_ / name);
  }
  folder_.write("step-7", "a file");
  const auto folders = checkpoint_folders(folder_.path());
  ASSERT_EQ(folders.size(), 3u);
  EXPECT_EQ(folders[0].step, 3);
  EXPECT_EQ(folders[1].step, 20);
  EXPECT_EQ(folders[2].path.filename(), "step-00000100");
}

TEST_F(RouterSaturationTest, WhatCannotBeComparedIsRefused) {
  EXPECT_THAT(refusal(base::ErrorKind::kNoCheckpoint), HasSubstr("two checkpoints or more: 0 in"));
  EXPECT_THROW(checkpoint_folders(folder_ / "none"), base::Error);
  checkpoint("step-1", byte_config("softmax_topk"));
  EXPECT_THAT(refusal(base::ErrorKind::kNoCheckpoint), HasSubstr("1 in"));
  checkpoint("step-2", byte_config("softmax_topk"), 2);
  EXPECT_EQ(refusal(), "no error");
  checkpoint("step-3", byte_config("switch"));
  EXPECT_THAT(refusal(), HasSubstr("step-1 has 2 mixture layers of 2, 2 of 6 experts"));
  checkpoint("step-4", byte_config("hash"));
  EXPECT_THAT(refusal(), HasSubstr("a hash table in place of a router"));
  checkpoint("step-5", byte_config("dense_llama_grouped_heads"));
  EXPECT_THAT(refusal(), HasSubstr("no mixture layer"));
  spec::ModelConfig other_layers = byte_config("softmax_topk");
  other_layers.num_hidden_layers = 3, other_layers.first_k_dense_replace = 1;
  checkpoint("step-6", other_layers);
  EXPECT_THAT(refusal(), HasSubstr("must be of one shape"));
}

TEST_F(RouterSaturationTest, IsTheShareOfPicksThatTheLastOneMakesToo) {
  const TraceShape shape{.experts = 10, .picks = 3, .domains = 2, .windows = 2, .window = 500};
  const RoutingTrace last = make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); });
  const RoutingTrace random = make_trace(
      shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); }, 2);
  // Every second token as in the end, in another order; the others as at random.
  RoutingTrace half = random;
  for (int64_t t = 0; t < last.size(); t += 2) {
    const auto picks = last.picks(0, t);
    std::reverse_copy(picks.begin(), picks.end(), half.experts[0].begin() + t * 3);
  }
  const std::vector<CheckpointFolder> folders = {{10, "a"}, {20, "b"}, {30, "c"}};
  std::vector<size_t> asked;
  const RouterSaturation got = router_saturation(folders, [&](size_t folder) {
    asked.push_back(folder);
    return folder == 0 ? random : folder == 1 ? half : last;
  });
  EXPECT_EQ(asked, (std::vector<size_t>{2, 0, 1}));
  ASSERT_EQ(got.points.size(), 3u);
  EXPECT_NEAR(got.points[0].agreement[0], 0.3, 0.03);
  EXPECT_NEAR(got.points[0].chance[0], 0.3, 0.005);
  EXPECT_NEAR(got.points[1].agreement[0], 0.65, 0.03);
  EXPECT_EQ(got.points[2].agreement[0], 1);
  const base::Json json = to_json(got);
  EXPECT_EQ(json["checkpoints"][2]["step"], 30);
  EXPECT_EQ(json["checkpoints"][2]["agreement"][0], 1.0);
  EXPECT_THAT(saturation_table(got), HasSubstr("100.0 %"));
}

}  // namespace
}  // namespace dsmoe::study
