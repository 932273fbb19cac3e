// Models as GGUF files: every kind round-trips, what an arch cannot say is refused by name, foreign files are checked.
#include "formats/gguf_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/test_files.h"
#include "formats/test_gguf_models.h"

namespace dsmoe::formats {
namespace {

using spec::ModelConfig;
using std::string;

string refusal(const base::fs::path& path) {
  return base::message_of([&] { GgufModel::open(path); });
}

TEST(GgufModel, EveryKindOfModelRoundTrips) {
  const base::TestFolder folder("gguf_models");
  int number = 0;
  for (ModelConfig config : models_of_every_kind()) {
    config.rms_norm_eps = 1e-6;  // as float32 it is not this double; it must come back as this one
    config.eos_token_id = 3;
    const base::fs::path path = folder / std::to_string(number++);
    write_gguf_model(path, config);
    const GgufModel model = GgufModel::open(path);
    ModelConfig wanted = config;
    if (model.arch() != GgufArch::kDsmoe) wanted.initializer_range = model.config().initializer_range;
    EXPECT_EQ(model.config(), wanted) << path;
    spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
      const GgufModel::View view = model.tensor(tensor.name);
      EXPECT_EQ(view.shape, tensor.shape) << tensor.name;
      EXPECT_EQ(view.bytes.size(), static_cast<size_t>(tensor.numel()) * 4) << tensor.name;
      const bool query = tensor.name.find("q_proj") != string::npos, key = tensor.name.find("k_proj") != string::npos;
      EXPECT_EQ(view.interleaved_heads, query ? config.num_attention_heads : key ? config.num_key_value_heads : 0);
    });
  }
}

TEST(GgufModel, ExpertsAreSlicesOfTheirLayersTensor) {
  const base::TestFolder folder("gguf_experts");
  const ModelConfig config = small_mixture();
  write_gguf_model(folder / "f", config);
  const GgufModel model = GgufModel::open(folder / "f");
  const auto first_value = [](const GgufModel::View& view) {
    float value = 0;
    std::memcpy(&value, view.bytes.data(), sizeof value);
    return value;
  };
  const float bank = first_value(model.tensor(spec::expert_name(2, 0, "up_proj")));
  EXPECT_EQ(bank, std::floor(bank)) << "the first of its tensor";
  const int64_t each = config.moe_intermediate_size * config.hidden_size;
  for (int64_t e = 1; e < config.n_routed_experts; ++e) {
    EXPECT_EQ(first_value(model.tensor(spec::expert_name(2, e, "up_proj"))),
              bank + static_cast<float>(e * each) / 1024);
  }
}

TEST(GgufModel, ThePlainestArchIsTaken) {
  EXPECT_EQ(gguf_arch_for(small_mixture()), GgufArch::kDeepseek);
  EXPECT_EQ(gguf_arch_for(small_dense()), GgufArch::kLlama);
  EXPECT_EQ(gguf_arch_for(small_dense(), "dsmoe"), GgufArch::kDsmoe);
  EXPECT_THROW(gguf_arch_for(small_dense(), "mixtral"), base::Error);
  for (const ModelConfig& config : models_of_every_kind()) {
    const bool plain = config == small_mixture() || config == small_dense();
    EXPECT_EQ(gguf_arch_for(config) == GgufArch::kDsmoe, !plain);
  }
}

TEST(GgufModel, AskingForDeepseekNamesTheKeyItLacks) {
  const auto refuses = [](const char* key, const std::function<void(ModelConfig&)>& change) {
    ModelConfig config = small_mixture();
    change(config);
    const string message = base::message_of([&] { gguf_arch_for(config, "deepseek"); });
    EXPECT_NE(message.find(string("arch deepseek cannot express this model's: ") + key), string::npos) << message;
    EXPECT_EQ(gguf_arch_for(config), GgufArch::kDsmoe);
  };
  refuses("norm_topk_prob true", [](ModelConfig& c) { c.norm_topk_prob = true; });
  refuses("routed_scaling_factor 2.5", [](ModelConfig& c) { c.routed_scaling_factor = 2.5; });
  refuses("scoring_func sigmoid", [](ModelConfig& c) { c.scoring_func = spec::ScoringFunc::kSigmoid; });
  refuses("topk_method noaux_tc", [](ModelConfig& c) { c.topk_method = spec::TopkMethod::kNoauxTc; });
  refuses("topk_method group_limited_greedy",
          [](ModelConfig& c) { c.topk_method = spec::TopkMethod::kGroupLimitedGreedy; });
  refuses("n_group 2", [](ModelConfig& c) { c.n_group = c.topk_group = 2; });
  refuses("router_type hash", [](ModelConfig& c) { c.router_type = spec::RouterType::kHash; });
  refuses("router_type gshard", [](ModelConfig& c) { c.router_type = spec::RouterType::kGshard; });
  refuses("moe_layer_freq 2", [](ModelConfig& c) { c.moe_layer_freq = 2; });
  refuses("n_shared_experts 0", [](ModelConfig& c) { c.n_shared_experts = 0; });
  EXPECT_NE(base::message_of([] { gguf_arch_for(small_mixture(), "llama"); }).find("n_routed_experts 4"), string::npos);
  EXPECT_NE(base::message_of([] { gguf_arch_for(small_dense(), "deepseek"); }).find("n_routed_experts 0"),
            string::npos);
}

TEST(GgufModel, ArchsAndMissingKeys) {
  const base::TestFolder folder("gguf_archs");
  const auto with_arch = [&](const char* arch) {
    Changes changes;
    changes.model_keys = [&](GgufMetadata& m, const ModelConfig&, GgufArch) {
      if (arch != nullptr) m.add_text("general.architecture", arch);
    };
    write_gguf_model(folder / "f", small_dense(), changes);
    return refusal(folder / "f");
  };
  EXPECT_NE(with_arch(nullptr).find("a model has general.architecture"), string::npos);
  EXPECT_NE(with_arch("gemma").find("must be deepseek, llama or dsmoe"), string::npos);
  EXPECT_NE(with_arch("deepseek2").find("multi-head latent attention"), string::npos);
  EXPECT_NE(with_arch("llama").find("a key is missing"), string::npos);
  EXPECT_NE(with_arch("llama").find("llama.embedding_length"), string::npos);
  EXPECT_NE(with_arch("dsmoe").find("a key is missing"), string::npos);
  write_gguf_model(folder / "empty", small_dense(), {.tensors = [](auto& tensors) { tensors.clear(); }});
  EXPECT_NE(refusal(folder / "empty").find("a model has token_embd.weight"), string::npos);
}

TEST(GgufModel, AdaptersAndPartsOfOtherModelsAreNone) {
  const base::TestFolder folder("gguf_kinds");
  const auto with = [&](const string& kind) {
    write_gguf_model(folder / "f", small_dense(), {.keys = [&](auto& m) { m.add_text("general.type", kind); }});
    return refusal(folder / "f");
  };
  EXPECT_EQ(with("model"), "(no error)");
  EXPECT_NE(with("adapter").find("an adapter must be merged into its model"), string::npos) << with("adapter");
  EXPECT_NE(with("mmproj").find("general.type must be model"), string::npos) << with("mmproj");
}

TEST(GgufModel, TensorsAreExactlyTheModels) {
  const base::TestFolder folder("gguf_tensors");
  const auto with = [&](const std::function<void(std::vector<GgufDeclaration>&)>& tensors) {
    write_gguf_model(folder / "f", small_mixture(), {.tensors = tensors});
    return refusal(folder / "f");
  };
  const auto named = [](std::vector<GgufDeclaration>& tensors, const string& name) {
    return std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  };
  const auto refuses = [&](const string& rule, const std::function<void(std::vector<GgufDeclaration>&)>& tensors) {
    const string message = with(tensors);
    EXPECT_NE(message.find(rule), string::npos) << message;
  };
  refuses("a tensor is missing", [&](auto& all) { all.erase(named(all, "blk.1.ffn_up_exps.weight")); });
  refuses("dsmoe computes projections without biases", [&](auto& all) {
    all.push_back({"blk.0.attn_q.bias", GgufType::kF32, {12}});
  });
  refuses("scaled rotary embeddings", [&](auto& all) { all.push_back({"rope_freqs.weight", GgufType::kF32, {3}}); });
  refuses("blk.0.attn_q.scale", [&](auto& all) { all.push_back({"blk.0.attn_q.scale", GgufType::kF32, {1}}); });
  refuses("does not belong to the model", [&](auto& all) { all.push_back({"other", GgufType::kF32, {3}}); });
  refuses("blk.1.ffn_up_exps.weight is [4, 6, 10], wanted [4, 6, 12]", [&](auto& all) {
    named(all, "blk.1.ffn_up_exps.weight")->shape = {4, 6, 10};
  });
  refuses("a tensor's type is not one for its use",
          [&](auto& all) { named(all, "blk.1.ffn_gate_inp.weight")->type = GgufType::kI32; });
  refuses("a tensor's type is not one for its use",
          [&](auto& all) { named(all, "blk.1.attn_v.weight")->type = GgufType::kI32; });
}

TEST(GgufModel, WithoutAHeadTheEmbeddingIsIt) {
  const base::TestFolder folder("gguf_tied");
  write_gguf_model(folder / "f", small_dense(), {.tensors = [](auto& all) { all.pop_back(); }});
  const GgufModel model = GgufModel::open(folder / "f");
  EXPECT_EQ(model.tensor("lm_head.weight").bytes.data(), model.tensor("model.embed_tokens.weight").bytes.data());
}

TEST(GgufModel, FrequenciesDividedByOneAreThePlainEmbedding) {
  const base::TestFolder folder("gguf_rope_freqs");
  const auto with = [&](std::vector<float> factors) {
    Changes changes;
    changes.tensors = [&](auto& all) { all.push_back({"rope_freqs.weight", GgufType::kF32, {std::ssize(factors)}}); };
    changes.values["rope_freqs.weight"] = factors;
    write_gguf_model(folder / "f", small_dense(), changes);
    return refusal(folder / "f");
  };
  EXPECT_EQ(with({1, 1, 1}), "(no error)");
  EXPECT_NE(with({1, 1, 8}).find("scaled rotary embeddings"), string::npos);
}

TEST(GgufModel, WhatExpertsArePickedByIsFinite) {
  const base::TestFolder folder("gguf_bias");
  const auto with = [&](float value) {
    Changes changes;
    changes.values["blk.1.exp_probs_b.bias"] = {0, value, 0, 0};
    ModelConfig config = small_mixture();
    config.topk_method = spec::TopkMethod::kNoauxTc;
    write_gguf_model(folder / "f", config, changes);
    return refusal(folder / "f");
  };
  EXPECT_EQ(with(-3), "(no error)");
  EXPECT_NE(with(NAN).find("blk.1.exp_probs_b.bias has nan for expert 1"), string::npos) << with(NAN);
  EXPECT_NE(with(-INFINITY).find("a selection bias must be finite"), string::npos);
  Changes changes;
  std::vector<float> router(4 * 12);
  router[2 * 12 + 5] = NAN;
  changes.values["blk.2.ffn_gate_inp.weight"] = router;
  write_gguf_model(folder / "f", small_mixture(), changes);
  EXPECT_NE(refusal(folder / "f").find("a router's weight must be finite"), string::npos) << refusal(folder / "f");
  EXPECT_NE(refusal(folder / "f").find("blk.2.ffn_gate_inp.weight has nan for expert 2"), string::npos);
}

TEST(GgufModel, CountsBeyondTheFileAreRefusedBeforeTheyAreWalked) {
  const base::TestFolder folder("gguf_counts");
  const auto with = [&](const std::function<void(ModelConfig&)>& change) {
    ModelConfig claimed = small_mixture();
    change(claimed);
    Changes changes;
    changes.model_keys = [&](GgufMetadata& m, const ModelConfig&, GgufArch arch) { add_model_keys(m, claimed, arch); };
    write_gguf_model(folder / "f", small_mixture(), changes);
    return refusal(folder / "f");
  };
  EXPECT_NE(with([](ModelConfig& c) { c.num_hidden_layers = 10000; }).find("room for the parameters"), string::npos);
  EXPECT_NE(with([](ModelConfig& c) { c.n_routed_experts = 65536; }).find("room for the parameters"), string::npos);
}

TEST(GgufModel, HashTablesAreValidated) {
  const base::TestFolder folder("gguf_hash");
  ModelConfig config = small_hash();
  config.n_routed_experts = 2;
  write_gguf_model(folder / "f", config);
  EXPECT_EQ(refusal(folder / "f"), "(no error)");
  config.n_routed_experts = 1;  // every id in the file is 1
  write_gguf_model(folder / "f", config);
  EXPECT_NE(refusal(folder / "f").find("a hash table must hold expert ids below n_routed_experts"), string::npos);
}

}  // namespace
}  // namespace dsmoe::formats
