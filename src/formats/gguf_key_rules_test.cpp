// Keys of a GGUF model that dsmoe does not compute with, one by one, and that a folder saying the same is checked the
// same.
#include "formats/gguf_key_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <variant>

#include "base/test_files.h"
#include "formats/config_json.h"
#include "formats/test_gguf_models.h"

namespace dsmoe::formats {
namespace {

using spec::ModelConfig;
using std::string;

using Value = std::variant<uint32_t, float, bool, const char*, std::vector<int32_t>>;

struct Row {
  const char* key;  // without the prefix
  Value value;
};
using Rows = std::vector<Row>;

void add(GgufMetadata& metadata, const string& key, const Value& value) {
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, uint32_t>) metadata.add_u32(key, v);
        if constexpr (std::is_same_v<T, float>) metadata.add_f32(key, v);
        if constexpr (std::is_same_v<T, bool>) metadata.add_bool(key, v);
        if constexpr (std::is_same_v<T, const char*>) metadata.add_text(key, v);
        if constexpr (std::is_same_v<T, std::vector<int32_t>>) metadata.add_i32s(key, v);
      },
      value);
}

class GgufKeyRules : public testing::Test {
 protected:
  // What any writer says of these models; other keys take the place of those with their name.
  static Rows plain_rows(const ModelConfig& c) {
    const auto u32 = [](int64_t value) { return static_cast<uint32_t>(value); };
    Rows rows = {{"block_count", u32(c.num_hidden_layers)},
                 {"context_length", u32(c.max_position_embeddings)},
                 {"embedding_length", u32(c.hidden_size)},
                 {"feed_forward_length", u32(c.intermediate_size)},
                 {"attention.head_count", u32(c.num_attention_heads)},
                 {"attention.head_count_kv", u32(c.num_key_value_heads)},
                 {"attention.layer_norm_rms_epsilon", 1e-6f}};
    if (!c.is_moe()) return rows;
    rows.insert(rows.end(), {{"leading_dense_block_count", u32(c.first_k_dense_replace)},
                             {"expert_count", u32(c.n_routed_experts)},
                             {"expert_used_count", u32(c.num_experts_per_tok)},
                             {"expert_shared_count", u32(c.n_shared_experts)},
                             {"expert_feed_forward_length", u32(c.moe_intermediate_size)}});
    return rows;
  }
  // The line with which a file with these keys is refused.
  string refusal(const ModelConfig& config, const Rows& rows) {
    Changes changes;
    changes.model_keys = [&](GgufMetadata& metadata, const ModelConfig& c, GgufArch arch) {
      const string prefix = string(gguf_arch_name(arch)) + ".";
      metadata.add_text("general.architecture", gguf_arch_name(arch));
      for (const Row& row : rows) add(metadata, prefix + row.key, row.value);
      for (const Row& row : plain_rows(c)) {
        const bool replaced =
            std::any_of(rows.begin(), rows.end(), [&](const Row& r) { return string(r.key) == row.key; });
        if (!replaced) add(metadata, prefix + row.key, row.value);
      }
    };
    write_gguf_model(folder_ / "f", config, changes);
    return base::message_of([&] { GgufModel::open(folder_ / "f"); });
  }
  void expect_refused(const Rows& rows, const string& rule) {
    for (const ModelConfig& config : {small_dense(), small_mixture()}) {
      const string line = refusal(config, rows);
      const string arch(gguf_arch_name(gguf_arch_for(config)));
      EXPECT_EQ(line.rfind("[gguf] " + arch + "." + rule + " must be ", 0), 0u) << rule << ": " << line;
    }
  }
  void expect_harmless(const Rows& rows) {
    for (const ModelConfig& config : {small_dense(), small_mixture()}) {
      EXPECT_EQ(refusal(config, rows), "(no error)") << rows[0].key;
    }
  }

  base::TestFolder folder_{"gguf_key_rules"};
};

TEST_F(GgufKeyRules, WhatWouldBeAnotherModelIsRefusedByName) {
  for (const Row& row : Rows{{"attention.causal", false},
                             {"attention.key_length", 8u},
                             {"attention.value_length", 8u},
                             {"attention.key_length", 0u},
                             {"attention.key_length_mla", 64u},
                             {"attention.kv_lora_rank", 512u},
                             {"attention.scale", 0.125f},
                             {"attention.output_scale", 2.0f},
                             {"attention.sliding_window", 31u},
                             {"attention.max_alibi_bias", 8.0f},
                             {"attention.clamp_kqv", 8.0f},
                             {"attention.temperature_length", 8192u},
                             {"attn_logit_softcapping", 50.0f},
                             {"final_logit_softcapping", 30.0f},
                             {"router_logit_softcapping", 30.0f},
                             {"embedding_scale", 12.0f},
                             {"residual_scale", 0.22f},
                             {"logit_scale", 8.0f},
                             {"hidden_activation", "gelu"},
                             {"use_parallel_residual", true},
                             {"swiglu_clamp_exp", std::vector<int32_t>{0, 7, 0}},
                             {"expert_weights_norm", true},
                             {"expert_weights_scale", 2.5f},
                             {"expert_gating_func", 2u},
                             {"expert_group_count", 8u},
                             {"moe_every_n_layers", 2u},
                             {"nextn_predict_layers", 1u},
                             {"rope.dimension_count", 4u},
                             {"rope.dimension_sections", std::vector<int32_t>{1, 1, 1, 0}},
                             {"rope.scaling.attn_factor", 1.3f},
                             {"rope.scaling.alpha", 1000.0f},
                             {"a_key_of_tomorrow", 1u},
                             {"a_text_of_tomorrow", "yes"}}) {
    expect_refused({row}, row.key);
  }
  EXPECT_NE(refusal(small_dense(), {{"expert_count", 8u}}).find("llama.expert_count must be absent, or 0"),
            string::npos);
  EXPECT_NE(refusal(small_mixture(), {{"expert_shared_feed_forward_length", 6u}}).find("must be 12"), string::npos);
  EXPECT_NE(refusal(small_dense(), {{"attention.causal", 0u}}).find("llama.attention.causal"), string::npos);
  EXPECT_NE(refusal(small_dense(), {{"attention.head_count_kv", std::vector<int32_t>{1, 1, 2}}})
                .find("llama.attention.head_count_kv must be the same in every layer"),
            string::npos);
}

TEST_F(GgufKeyRules, AnArchOfOurOwnHasItsKeysAndNoOthers) {
  const auto open_with = [&](const char* key) {
    write_gguf_model(folder_ / "f", small_mixture(), {.keys = [&](GgufMetadata& m) { m.add_u32(key, 1); }}, "dsmoe");
    return base::message_of([&] { GgufModel::open(folder_ / "f"); });
  };
  EXPECT_NE(open_with("dsmoe.a_key_of_tomorrow").find("dsmoe.a_key_of_tomorrow must be absent, or 0"), string::npos);
  EXPECT_EQ(open_with("dsmoe.tokenizer.something"), "(no error)");
}

TEST_F(GgufKeyRules, HarmlessValuesAreNotRefused) {
  for (const Row& row : Rows{{"attention.causal", true},
                             {"attention.key_length", 6u},
                             {"attention.scale", 0.0f},
                             {"attention.scale", 0.40824829f},
                             {"attention.sliding_window", 0u},
                             {"attention.sliding_window", 32u},
                             {"attention.clamp_kqv", 0.0f},
                             {"attention.head_count_kv", std::vector<int32_t>{1, 1, 1}},
                             {"embedding_scale", 1.0f},
                             {"residual_scale", 0.0f},
                             {"hidden_activation", "silu"},
                             {"use_parallel_residual", false},
                             {"swiglu_clamp_exp", std::vector<int32_t>{0, 0, 0}},
                             {"expert_weights_norm", false},
                             {"expert_weights_scale", 0.0f},
                             {"expert_gating_func", 0u},
                             {"expert_group_count", 0u},
                             {"nextn_predict_layers", 0u},
                             {"rope.scaling.finetuned", true},
                             {"rope.scaling.original_context_length", 4096u},
                             {"rope.freq_base_swa", 500000.0f},
                             {"tensor_data_layout", "Meta AI original pth"}}) {
    expect_harmless({row});
  }
  const auto foreign = [](GgufMetadata& metadata) {
    metadata.add_bool("bert.attention.causal", false);
    metadata.add_text("general.name", "x");
  };
  write_gguf_model(folder_ / "f", small_dense(), {.keys = foreign});
  EXPECT_NO_THROW(GgufModel::open(folder_ / "f"));
}

TEST_F(GgufKeyRules, RotaryEmbeddingsAreUnscaledInEveryPlace) {
  constexpr const char* kType = "rope.scaling.type";
  constexpr const char* kFactor = "rope.scaling.factor";
  expect_refused({{kFactor, 4.0f}}, kFactor);  // without a type it is linear
  expect_refused({{"rope.scale_linear", 2.0f}}, "rope.scale_linear");
  expect_refused({{kType, "linear"}, {kFactor, 2.0f}}, kFactor);
  expect_refused({{kType, "yarn"}, {kFactor, 40.0f}}, kFactor);
  expect_refused({{kType, "yarn"}}, kType);
  expect_refused({{kType, "longrope"}, {kFactor, 1.0f}}, kType);
  expect_refused({{kFactor, NAN}, {kType, "linear"}}, kFactor);
  expect_harmless({{kType, "none"}});
  expect_harmless({{kType, "none"}, {kFactor, 4.0f}});
  expect_harmless({{kType, "linear"}});
  expect_harmless({{kType, "linear"}, {kFactor, 1.0f}});
  expect_harmless({{kType, "linear"}, {kFactor, 0.0f}, {"rope.scale_linear", 2.0f}});
  expect_harmless({{kType, "yarn"}, {kFactor, 1.0f}, {"rope.scaling.yarn_log_multiplier", 0.1f}});
}

// The same words in a folder's config.json and in a file's keys.
TEST_F(GgufKeyRules, AFolderAndAFileAreValidatedAlike) {
  struct Pair {
    const char* json;
    Rows rows;
  };
  const std::vector<Pair> refused = {
      {R"({"is_causal": false})", {{"attention.causal", false}}},
      {R"({"rope_scaling": {"type": "linear", "factor": 2}})", {{"rope.scaling.factor", 2.0f}}},
      {R"({"rope_parameters": {"type": "yarn", "factor": 40}})",
       {{"rope.scaling.type", "yarn"}, {"rope.scaling.factor", 40.0f}}},
      {R"({"partial_rotary_factor": 0.5})", {{"rope.dimension_count", 4u}}},
      {R"({"head_dim": 8})", {{"attention.key_length", 8u}}},
      {R"({"sliding_window": 8})", {{"attention.sliding_window", 8u}}},
      {R"({"hidden_act": "gelu"})", {{"hidden_activation", "gelu"}}},
      {R"({"attention_multiplier": 0.125})", {{"attention.scale", 0.125f}}},
      {R"({"final_logit_softcapping": 30})", {{"final_logit_softcapping", 30.0f}}},
      {R"({"clip_qkv": 8})", {{"attention.clamp_kqv", 8.0f}}},
      {R"({"logits_scaling": 8})", {{"logit_scale", 8.0f}}},
      {R"({"embedding_multiplier": 12})", {{"embedding_scale", 12.0f}}},
      {R"({"residual_multiplier": 0.22})", {{"residual_scale", 0.22f}}},
  };
  const std::vector<Pair> harmless = {
      {R"({"is_causal": true})", {{"attention.causal", true}}},
      {R"({"rope_scaling": {"type": "default"}})", {{"rope.scaling.type", "none"}}},
      {R"({"rope_scaling": {"type": "linear", "factor": 1}})", {{"rope.scaling.factor", 1.0f}}},
      {R"({"rope_parameters": {"type": "yarn", "factor": 1}})",
       {{"rope.scaling.type", "yarn"}, {"rope.scaling.factor", 1.0f}}},
      {R"({"partial_rotary_factor": 1})", {{"rope.dimension_count", 6u}}},
      {R"({"sliding_window": 32})", {{"attention.sliding_window", 32u}}},
      {R"({"hidden_act": "silu"})", {{"hidden_activation", "silu"}}},
      {R"({"logits_scaling": 1})", {{"logit_scale", 1.0f}}},
  };
  const auto folder_refusal = [](const char* text) {
    base::Json json = config_to_json(small_dense(), Dtype::kF32);
    const base::Json changes = base::parse_json(text, "test");
    for (const auto& [key, value] : changes.items()) json[key] = value;
    return base::message_of([&] { config_from_json(json, "f"); });
  };
  for (const auto& [json, rows] : refused) {
    EXPECT_NE(folder_refusal(json), "(no error)") << json;
    EXPECT_NE(refusal(small_dense(), rows), "(no error)") << rows[0].key;
  }
  for (const auto& [json, rows] : harmless) {
    EXPECT_EQ(folder_refusal(json), "(no error)") << json;
    EXPECT_EQ(refusal(small_dense(), rows), "(no error)") << rows[0].key;
  }
}

}  // namespace
}  // namespace dsmoe::formats
