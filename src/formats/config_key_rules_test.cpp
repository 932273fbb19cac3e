// Keys of config.json that dsmoe does not compute with, one by one: refused by name, or harmless.
#include "formats/config_key_rules.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/config_json.h"
#include "formats/test_models.h"

namespace dsmoe::formats {
namespace {

using base::Json;
using std::string;

// A dense model and a mixture, heads of 6, 32 positions.
std::vector<Json> files() {
  return {config_to_json(small_dense(), Dtype::kF32), config_to_json(small_mixture(), Dtype::kF32)};
}

string refusal(const Json& json) {
  return base::message_of([&] { config_from_json(json, "config.json"); });
}

Json with(Json json, const string& key, const Json& value) {
  json[key] = value;
  return json;
}

void expect_refused(const string& key, const char* text, const string& rule) {
  for (const Json& file : files()) {
    const string line = refusal(with(file, key, base::parse_json(text, "test")));
    EXPECT_EQ(line.rfind("[config.json] " + rule, 0), 0u) << key << " " << text << ": " << line;
  }
}
void expect_harmless(const string& key, const char* text) {
  for (const Json& file : files()) {
    const Json json = with(file, key, base::parse_json(text, "test"));
    EXPECT_EQ(refusal(json), "(no error)") << key << " " << text;
    EXPECT_EQ(config_from_json(json, "f"), config_from_json(file, "f")) << key << " " << text;
  }
}

struct Row {
  const char* key;
  const char* value;
};

TEST(ConfigKeyRules, WhatWouldBeAnotherModelIsRefusedByName) {
  for (const Row& row : std::vector<Row>{{"tie_word_embeddings", "true"},
                                         {"attention_bias", "true"},
                                         {"attention_bias", "1"},
                                         {"mlp_bias", "true"},
                                         {"qkv_bias", "true"},
                                         {"use_qk_norm", "true"},
                                         {"qk_layernorm", "true"},
                                         {"use_parallel_residual", "true"},
                                         {"pruned_heads", R"({"0": [1]})"},
                                         {"hidden_act", R"("gelu")"},
                                         {"hidden_activation", R"("gelu")"},
                                         {"hidden_act", "1"},
                                         {"quantization_config", R"({"bits": 4})"},
                                         {"quantization_config", "{}"},
                                         {"head_dim", "8"},
                                         {"head_dim", "9223372036854775807"},
                                         {"head_dim", R"("6")"},
                                         {"kv_lora_rank", "512"},
                                         {"is_causal", "false"},
                                         {"is_causal", "0"},
                                         {"use_bidirectional_attention", "true"},
                                         {"sliding_window", "31"},
                                         {"attention_chunk_size", "8192"},
                                         {"layer_types", R"(["full_attention", "sliding_attention"])"},
                                         {"attention_multiplier", "0.015625"},
                                         {"query_pre_attn_scalar", "256"},
                                         {"attn_logit_softcapping", "50.0"},
                                         {"final_logit_softcapping", "30.0"},
                                         {"clip_qkv", "8"},
                                         {"partial_rotary_factor", "0.5"},
                                         {"rope_interleave", "true"},
                                         {"no_rope_layers", "[1, 1, 0]"},
                                         {"rope_scaling_factor", "2"},
                                         {"embedding_multiplier", "12.0"},
                                         {"residual_multiplier", "0.22"},
                                         {"logits_scaling", "8"},
                                         {"logit_scale", "0.0625"},
                                         {"scale_emb", "12"},
                                         {"scale_depth", "1.4"}}) {
    expect_refused(row.key, row.value, string(row.key) + " must be ");
  }
}

TEST(ConfigKeyRules, HarmlessValuesAreNotRefused) {
  for (const Row& row : std::vector<Row>{{"tie_word_embeddings", "null"},
                                         {"attention_bias", "false"},
                                         {"pruned_heads", "{}"},
                                         {"hidden_act", R"("swish")"},
                                         {"hidden_act", "null"},
                                         {"quantization_config", "null"},
                                         {"head_dim", "6"},
                                         {"head_dim", "null"},
                                         {"kv_lora_rank", "null"},
                                         {"is_causal", "true"},
                                         {"sliding_window", "null"},
                                         {"sliding_window", "32"},
                                         {"layer_types", R"(["full_attention", "full_attention", "full_attention"])"},
                                         {"attention_multiplier", "0.4082483"},
                                         {"query_pre_attn_scalar", "6"},
                                         {"final_logit_softcapping", "null"},
                                         {"partial_rotary_factor", "1.0"},
                                         {"no_rope_layers", "[1, 1, 1]"},
                                         {"logits_scaling", "1.0"},
                                         {"pretraining_tp", "2"},
                                         {"ep_size", "8"},
                                         {"attention_dropout", "0.1"},
                                         {"aux_loss_alpha", "0.01"},
                                         {"pad_token_id", "-1"},
                                         {"something_new", R"({"of": "nobody"})"}}) {
    expect_harmless(row.key, row.value);
  }
  for (Json file : files()) {
    file["sliding_window"] = 4;
    file["use_sliding_window"] = false;
    EXPECT_EQ(refusal(file), "(no error)") << "a window that is said to be unused";
    file["use_sliding_window"] = true;
    EXPECT_NE(refusal(file), "(no error)");
  }
}

TEST(ConfigKeyRules, RotaryEmbeddingsAreUnscaledUnderEitherName) {
  for (const string name : {"rope_scaling", "rope_parameters"}) {
    for (const char* text :
         {"null", "{}", R"({"type": "default"})", R"({"rope_type": "default"})",
          R"({"rope_type": "default", "factor": 4})", R"({"factor": 1.0})", R"({"type": null, "factor": null})",
          R"({"type": "linear", "factor": 1})", R"({"rope_type": "dynamic", "type": "dynamic", "factor": 1.0})",
          R"({"type": "yarn", "factor": 1, "beta_fast": 32, "mscale": 0.7})",
          R"({"rope_type": "llama3", "factor": 1.0, "low_freq_factor": 1, "high_freq_factor": 4})",
          R"({"rope_type": "default", "partial_rotary_factor": 1.0, "mrope_section": null})"}) {
      expect_harmless(name, text);
    }
    for (const Row& row :
         std::vector<Row>{{"factor", R"({"type": "linear", "factor": 2})"},
                          {"factor", R"({"rope_type": "dynamic", "factor": 2.0})"},
                          {"factor", R"({"type": "yarn"})"},
                          {"factor", R"({"factor": 4.0})"},
                          {"factor", R"({"rope_type": null, "type": "llama3", "factor": 8})"},
                          {"factor", R"({"rope_type": "default", "type": "linear", "factor": 8})"},
                          {"factor", R"({"rope_type": "linear", "type": "default", "factor": "8"})"},
                          {"rope_type", R"({"rope_type": "longrope"})"},
                          {"type", R"({"type": "su", "factor": 1})"},
                          {"type", R"({"type": 1})"},
                          {"attention_factor", R"({"type": "yarn", "factor": 1, "attention_factor": 2})"},
                          {"partial_rotary_factor", R"({"partial_rotary_factor": 0.5})"},
                          {"mrope_section", R"({"type": "default", "mrope_section": [1, 1, 1]})"},
                          {"full_attention", R"({"full_attention": {"rope_type": "default"}})"}}) {
      expect_refused(name, row.value, name + "." + row.key + " must be ");
    }
    expect_refused(name, R"("linear")", name + " must be an object or null");
    expect_refused(name, "2.0", name + " must be an object or null");
  }
}

TEST(ConfigKeyRules, TheInnerBaseOfTheAnglesCounts) {
  const auto theta = [](const char* text) { return rope_theta_from_json(base::parse_json(text, "f"), "f", 7); };
  EXPECT_EQ(theta("{}"), 7);
  EXPECT_EQ(theta(R"({"rope_theta": 5})"), 5);
  EXPECT_EQ(theta(R"({"rope_parameters": {"rope_theta": 6}})"), 6);
  EXPECT_EQ(theta(R"({"rope_theta": 5, "rope_parameters": {"rope_theta": 6}})"), 6);
  EXPECT_EQ(theta(R"({"rope_theta": null, "rope_parameters": {"rope_theta": 6}})"), 6);
  EXPECT_EQ(theta(R"({"rope_theta": 5, "rope_parameters": {"rope_theta": null}})"), 5);
  EXPECT_EQ(theta(R"({"rope_theta": 5, "rope_parameters": {"type": "default"}})"), 5);
  EXPECT_EQ(theta(R"({"rope_theta": 5, "rope_scaling": {"rope_theta": 6}})"), 6);
  EXPECT_EQ(theta(R"({"rope_scaling": {}, "rope_parameters": {"rope_theta": 6}})"), 6);
  EXPECT_EQ(theta(R"({"rope_theta": 5, "rope_scaling": {"type": "default"}, "rope_parameters": {"rope_theta": 5}})"),
            5);
  const auto refusal_of = [&](const char* text) { return base::message_of([&] { theta(text); }); };
  EXPECT_NE(refusal_of(R"({"rope_theta": null})").find("rope_theta must be a number"), string::npos);
  EXPECT_NE(refusal_of(R"({"rope_theta": null, "rope_parameters": {"rope_theta": null}})").find("rope_theta must be a"),
            string::npos);
  EXPECT_NE(refusal_of(R"({"rope_parameters": {"rope_theta": "6"}})").find("rope_theta must be a number"),
            string::npos);
  EXPECT_NE(refusal_of(R"({"rope_scaling": {"type": "default"}, "rope_parameters": {"rope_theta": 6}})")
                .find("rope_parameters.rope_theta must be the one beside rope_scaling"),
            string::npos);
}

TEST(ConfigKeyRules, ARewrittenFileSaysTheSameModel) {
  for (Json file : files()) {
    file["rope_theta"] = 5;
    file["rope_parameters"] = {{"type", "default"}, {"rope_theta", 6}};
    const spec::ModelConfig config = config_from_json(file, "f");
    EXPECT_EQ(config.rope_theta, 6);
    EXPECT_EQ(config_from_json(config_to_json(config, Dtype::kF32, file), "f"), config);
  }
}

}  // namespace
}  // namespace dsmoe::formats
