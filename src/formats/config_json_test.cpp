// config.json: the released files' spelling, round trips, refusals.
#include "formats/config_json.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/test_models.h"

namespace dsmoe::formats {
namespace {

using base::Json;
using std::string;

// The config.json that deepseek-ai/deepseek-moe-16b-base was released with.
Json released() {
  return base::parse_json(R"({
    "architectures": ["DeepseekForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekConfig"},
    "bos_token_id": 100000, "eos_token_id": 100001, "first_k_dense_replace": 1, "hidden_act": "silu",
    "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 10944, "max_position_embeddings": 4096,
    "model_type": "deepseek", "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_routed_experts": 64,
    "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6,
    "num_hidden_layers": 28, "num_key_value_heads": 16, "pretraining_tp": 1, "rms_norm_eps": 1e-06,
    "rope_scaling": null, "rope_theta": 10000, "scoring_func": "softmax", "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.36.0", "use_cache": true, "vocab_size": 102400})",
                          "test");
}

string refusal(const Json& json) {
  return base::message_of([&] { config_from_json(json, "config.json"); });
}
// The line that one changed key gives.
string refusal_with(const char* key, const Json& value) {
  Json json = released();
  json[key] = value;
  return refusal(json);
}

TEST(ConfigJson, ReadsTheReleasedFile) {
  const spec::ModelConfig c = config_from_json(released(), "config.json");
  EXPECT_EQ(c.n_routed_experts, 64);
  EXPECT_EQ(c.rope_theta, 10000.0);
  EXPECT_EQ(c.initializer_range, 0.02);
  EXPECT_EQ(c.scoring_func, spec::ScoringFunc::kSoftmax);
  EXPECT_EQ(c.bos_token_id, 100000);
  EXPECT_EQ(dtype_from_json(released(), "config.json"), Dtype::kBf16);
}

TEST(ConfigJson, RewritingKeepsEveryKeyOfTheReleasedFile) {
  const Json before = released(), again = config_to_json(config_from_json(before, "f"), Dtype::kBf16, before);
  for (const auto& [key, value] : before.items()) EXPECT_EQ(again[key], value) << key;
  EXPECT_EQ(again.size(), before.size()) << base::dump_json(again);
}

TEST(ConfigJson, EveryKindOfModelRoundTrips) {
  for (const spec::ModelConfig& config : models_of_every_kind()) {
    const Json json = config_to_json(config, Dtype::kF16);
    const string text = base::dump_json(json);
    EXPECT_EQ(config_from_json(base::parse_json(text, "f"), "f"), config) << text;
    EXPECT_EQ(dtype_from_json(json, "f"), Dtype::kF16);
    EXPECT_EQ(json["model_type"], config.is_moe() ? "deepseek" : "llama");
    EXPECT_EQ(json["architectures"][0], config.is_moe() ? "DeepseekForCausalLM" : "LlamaForCausalLM");
    EXPECT_EQ(json.contains("n_routed_experts"), config.is_moe());
  }
}

TEST(ConfigJson, PlainModelsCarryNoExtraKeys) {
  const Json json = config_to_json(small_mixture(), Dtype::kF32);
  for (const char* key : {"router_type", "topk_method", "n_group", "topk_group", "routed_scaling_factor"}) {
    EXPECT_FALSE(json.contains(key)) << key;
  }
  Json stale = json;
  stale["router_type"] = "hash";  // a key of the model that was here before must not survive
  EXPECT_FALSE(config_to_json(small_mixture(), Dtype::kF32, stale).contains("router_type"));
}

TEST(ConfigJson, NullOrAbsentExpertsMeanDense) {
  Json json = released();
  json["n_routed_experts"] = nullptr;
  EXPECT_FALSE(config_from_json(json, "f").is_moe());
  json.erase("n_routed_experts");
  const spec::ModelConfig dense = config_from_json(json, "f");
  EXPECT_FALSE(dense.is_moe());
  EXPECT_EQ(config_from_json(config_to_json(dense, Dtype::kF32), "f"), dense) << "as llama";
  json = released();
  json["n_shared_experts"] = nullptr;
  EXPECT_EQ(config_from_json(json, "f").n_shared_experts, 0);
}

TEST(ConfigJson, SilenceMeansTheClassDefaults) {
  Json json = released();
  for (const char* key : {"num_key_value_heads", "rms_norm_eps", "rope_theta", "initializer_range", "bos_token_id",
                          "max_position_embeddings", "scoring_func", "moe_layer_freq", "first_k_dense_replace"}) {
    json.erase(key);
  }
  const spec::ModelConfig c = config_from_json(json, "f");
  EXPECT_EQ(c.num_key_value_heads, 16);
  EXPECT_EQ(c.max_position_embeddings, 2048);
  EXPECT_EQ(c.first_k_dense_replace, 0);
  EXPECT_EQ(c.bos_token_id, 100000);
}

TEST(ConfigJson, TokenIdsMayBeNone) {
  Json json = config_to_json(small_dense(), Dtype::kF32);
  for (const Json& none : {Json(nullptr), Json::array(), Json(-1)}) {
    json["bos_token_id"] = json["eos_token_id"] = none;
    const spec::ModelConfig c = config_from_json(json, "f");
    EXPECT_EQ(c.bos_token_id, -1);
    EXPECT_EQ(c.eos_token_id, -1);
    const Json again = config_to_json(c, Dtype::kF32);
    EXPECT_TRUE(again["bos_token_id"].is_null());
    EXPECT_EQ(config_from_json(again, "f"), c);
  }
  Json small = released();  // the class' defaults lie above a small vocabulary
  small["vocab_size"] = 512;
  small.erase("bos_token_id");
  small.erase("eos_token_id");
  EXPECT_EQ(config_from_json(small, "f").bos_token_id, -1);
  EXPECT_EQ(config_from_json(small, "f").eos_token_id, -1);
}

TEST(ConfigJson, AListOfEndsIsWrittenBack) {
  Json json = config_to_json(small_dense(), Dtype::kF32);
  json["eos_token_id"] = Json::array({3, 4});
  spec::ModelConfig c = config_from_json(json, "f");
  EXPECT_EQ(config_to_json(c, Dtype::kBf16, json)["eos_token_id"], json["eos_token_id"]);
  c.eos_token_id = 5;
  EXPECT_EQ(config_to_json(c, Dtype::kBf16, json)["eos_token_id"], 5) << "another first id is another choice";
}

TEST(ConfigJson, ForeignLlamaSpellings) {
  Json json = config_to_json(small_dense(), Dtype::kF32);
  json["eos_token_id"] = Json::array({3, 4});
  json["head_dim"] = 6;
  json["mlp_bias"] = false;
  json["hidden_act"] = "swish";
  json["dtype"] = "bfloat16";
  json.erase("torch_dtype");
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_theta", 500000.0}, {"rope_type", "default"}};
  const spec::ModelConfig c = config_from_json(json, "f");
  EXPECT_EQ(c.eos_token_id, 3);
  EXPECT_EQ(c.rope_theta, 500000.0);
  EXPECT_EQ(dtype_from_json(json, "f"), Dtype::kBf16);
  const Json again = config_to_json(c, Dtype::kF16, json);
  EXPECT_EQ(config_from_json(again, "f"), c);
  EXPECT_EQ(dtype_from_json(again, "f"), Dtype::kF16);
}

TEST(ConfigJson, WhatWouldChangeTheMathematicsIsRefused) {
  const std::vector<std::tuple<const char*, Json, const char*>> cases = {
      {"tie_word_embeddings", true, "tie_word_embeddings must be false"},
      {"attention_bias", true, "attention_bias must be false"},
      {"mlp_bias", true, "mlp_bias must be false"},
      {"quantization_config", {{"bits", 4}}, "quantization_config must be null"},
      {"hidden_act", "gelu", "hidden_act must be silu"},
      {"head_dim", 64, "head_dim must be hidden_size / num_attention_heads = 128"},
      {"head_dim", INT64_MAX, "head_dim must be hidden_size / num_attention_heads = 128"},
      {"head_dim", INT64_MIN, "head_dim must be hidden_size / num_attention_heads = 128"},
      {"model_type", "mixtral", "model_type must be deepseek or llama"},
      {"model_type", "deepseek_v3", "multi-head latent attention"},
      {"scoring_func", "sigmiod", "scoring_func must be one of softmax, sigmoid"},
      {"router_type", "best", "router_type must be one of"},
      {"topk_method", 3, "topk_method must be a string"},
  };
  for (const auto& [key, value, rule] : cases) {
    const string line = refusal_with(key, value);
    EXPECT_NE(line.find(rule), string::npos) << line;
    EXPECT_EQ(line.rfind("[config.json] ", 0), 0u) << line;
  }
}

TEST(ConfigJson, WrongTypesAndImpossibleShapesAreRefused) {
  const std::vector<std::tuple<const char*, Json, const char*>> cases = {
      {"hidden_size", "2048", "hidden_size must be an integer"},
      {"hidden_size", 2048.0, "hidden_size must be an integer"},
      {"hidden_size", nullptr, "hidden_size must be an integer"},
      {"hidden_size", -1, "hidden_size must be from 1"},
      {"hidden_size", uint64_t{18446744073709551615u}, "hidden_size must be from"},
      {"num_hidden_layers", 1000000000, "num_hidden_layers must be from 1"},
      {"num_attention_heads", 15, "num_attention_heads must divide hidden_size"},
      {"num_attention_heads", 0, "num_attention_heads must be from 1"},
      {"num_key_value_heads", 5, "num_key_value_heads must divide"},
      {"num_experts_per_tok", 65, "num_experts_per_tok must be from 1 to n_routed_experts"},
      {"num_experts_per_tok", nullptr, "num_experts_per_tok must be an integer"},
      {"n_group", 7, "n_group must divide n_routed_experts"},
      {"rms_norm_eps", "1e-6", "rms_norm_eps must be a number"},
      {"norm_topk_prob", 1, "norm_topk_prob must be true or false"},
      {"rms_norm_eps", nullptr, "rms_norm_eps must be a number"},
      {"moe_layer_freq", nullptr, "moe_layer_freq must be an integer"},
      {"tie_word_embeddings", "no", "tie_word_embeddings must be false, 0 or null"},
      {"eos_token_id", Json::array({"x"}), "eos_token_id must be an integer"},
      {"eos_token_id", 102400, "eos_token_id must be from -1 to 102399"},
      {"vocab_size", 0, "vocab_size must be from 1"},
  };
  for (const auto& [key, value, rule] : cases) {
    const string line = refusal_with(key, value);
    EXPECT_NE(line.find(rule), string::npos) << line;
  }
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                          "model_type", "moe_intermediate_size", "num_experts_per_tok"}) {
    Json json = released();
    json.erase(key);
    EXPECT_NE(refusal(json).find("lacks the key \"" + string(key)), string::npos) << refusal(json);
  }
  EXPECT_NE(refusal(Json::array()).find("must be a JSON object"), string::npos);
  Json json = released();
  json["torch_dtype"] = "float64";
  EXPECT_EQ(dtype_from_json(json, "f"), Dtype::kF64);
  json["torch_dtype"] = "int8";
  EXPECT_NE(base::message_of([&] { dtype_from_json(json, "f"); }).find("bfloat16, float16, float32 or float64"),
            string::npos);
}

}  // namespace
}  // namespace dsmoe::formats
