// Keys of config.json that dsmoe does not compute with, one by one: refused by name, or harmless.
#include "formats/config_key_rules.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/config_json.h"
#include "formats/config_rotary.h"
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

TEST(ConfigKeyRules, TheSameIsRefusedInTheSpellingsOfOtherFamilies) {
  for (const Row& row : std::vector<Row>{{"use_qkv_bias", "true"},
                                         {"lm_head_bias", "true"},
                                         {"no_bias", "false"},
                                         {"attention_qk_norm", "true"},
                                         {"use_sandwich_norm", "true"},
                                         {"zero_centered_gamma", "true"},
                                         {"norm_type", R"("layernorm")"},
                                         {"activation_function", R"("gelu_new")"},
                                         {"mlp_hidden_act", R"("relu2")"},
                                         {"use_glu", "false"},
                                         {"quantization", R"({"bits": 4, "group_size": 64})"},
                                         {"weight_tying", "true"},
                                         {"tied_embeddings", "true"},
                                         {"kv_channels", "8"},
                                         {"causal", "false"},
                                         {"non_causal", "true"},
                                         {"sliding_window_size", "16"},
                                         {"attention_window", "[16]"},
                                         {"layers_block_type", R"(["mamba", "attention"])"},
                                         {"attn_type_list", "[0, 1, 1]"},
                                         {"full_attention_interval", "4"},
                                         {"softmax_scale", "0.125"},
                                         {"use_logn_attn", "true"},
                                         {"add_full_attention_sink_bias", "true"},
                                         {"attn_output_gate", "true"},
                                         {"attention_logits_soft_cap", "30.0"},
                                         {"attention_logit_cap", "30"},
                                         {"use_alibi", "true"},
                                         {"position_embedding_type", R"("alibi")"},
                                         {"pos_emb", R"("learned")"},
                                         {"attn_config", R"({"clip_qkv": 8})"},
                                         {"use_rope", "false"},
                                         {"rope_local_base_freq", "1000000"},
                                         {"local_rope_theta", "1e6"},
                                         {"rotary_emb_base", "1000000"},
                                         {"rotary_dim", "4"},
                                         {"rotary_emb_fraction", "0.5"},
                                         {"rope_interleaved", "true"},
                                         {"nope_layer_interval", "4"},
                                         {"use_dynamic_ntk", "true"},
                                         {"lm_head_multiplier", "0.5"},
                                         {"mlp_multipliers", "[0.5, 1]"},
                                         {"embedding_scale", "11"},
                                         {"residual_scale", "0.5"},
                                         {"mup_width_scale", "0.125"},
                                         {"num_kv_shared_layers", "2"}}) {
    expect_refused(row.key, row.value, string(row.key) + " must be ");
  }
}

TEST(ConfigKeyRules, AMixturesOtherNamesSayWhatItsKeysSay) {
  const Json dense = files()[0], mixture = files()[1];  // 4 experts of width 6, 2 shared, 2 a token, the first dense
  for (const auto& [row, same] : std::vector<std::pair<Row, const char*>>{
           {{"num_local_experts", "8"}, "4"},
           {{"moe_topk", "3"}, "2"},
           {{"moe_num_shared_experts", "1"}, "2"},
           {{"shared_expert_intermediate_size", "6"}, "12"},
           {{"use_shared_expert_gate", "true"}, "false"},
           {{"moe_router_activation_func", R"("sigmoid")"}, R"("softmax")"},
           {{"score_func", R"("sqrtsoftplus")"}, R"("softmax")"},
           {{"moe_router_topk_scaling_factor", "2.5"}, "1"},
           {{"route_scale", "2.5"}, "1.0"},
           {{"moe_renormalize", "true"}, "false"},
           {{"decoder_sparse_step", "2"}, "1"},
           {{"mlp_only_layers", "[2]"}, "[]"},
           {{"mlp_layer_types", R"(["sparse", "sparse", "sparse"])"}, R"(["dense", "sparse", "sparse"])"},
           {{"moe_capacity_factor", "1.25"}, "0"},
           {{"router_bias", "true"}, "false"}}) {
    const string line = refusal(with(mixture, row.key, base::parse_json(row.value, "test")));
    EXPECT_EQ(line.rfind(string("[config.json] ") + row.key + " must be ", 0), 0u) << line;
    EXPECT_EQ(refusal(with(mixture, row.key, base::parse_json(same, "test"))), "(no error)") << row.key;
    EXPECT_EQ(refusal(with(dense, row.key, base::parse_json(same, "test"))), "(no error)") << row.key;
  }
  EXPECT_EQ(refusal(with(dense, "moe_topk", 3)), "(no error)") << "of no meaning without experts";
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
                                         {"norm_type", R"("rmsnorm")"},
                                         {"position_embedding_type", R"("rope")"},
                                         {"use_rope", "true"},
                                         {"rotary_emb_base", "10000"},
                                         {"rotary_dim", "6"},
                                         {"local_rope_theta", "10000.0"},
                                         {"softmax_scale", "0.40824829"},
                                         {"key_multiplier", "1.0"},
                                         {"mlp_multipliers", "[1, 1.0]"},
                                         {"mup_enabled", "false"},
                                         {"is_decoder", "true"},
                                         {"max_window_layers", "28"},
                                         {"sliding_window_pattern", "6"},
                                         {"top_k", "50"},
                                         {"top_p", "1.0"},
                                         {"repetition_penalty", "1.1"},
                                         {"chunk_size_feed_forward", "0"},
                                         {"summary_activation", "null"},
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
          R"({"type": "yarn", "factor": 1, "original_max_position_embeddings": 32})",
          R"({"type": "llama3", "factor": 1, "original_max_position_embeddings": 8192})",
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
                          {"original_max_position_embeddings",
                           R"({"rope_type": "yarn", "factor": 1, "original_max_position_embeddings": 16})"},
                          {"original_max_position_embeddings",
                           R"({"type": "dynamic", "factor": 1.0, "original_max_position_embeddings": 64})"},
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
