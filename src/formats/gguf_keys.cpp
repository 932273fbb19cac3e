#include "formats/gguf_keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "formats/end_tokens.h"
#include "formats/gguf_key_rules.h"
#include "spec/enum_names.h"

namespace dsmoe::formats {
namespace {

using base::in_quotes;
using spec::ModelConfig;

constexpr GgufArch kArchs[] = {GgufArch::kDeepseek, GgufArch::kLlama, GgufArch::kDsmoe};

// A float32 as the shortest decimal that is it, as a double: 1e-6 comes back as 1e-6, not as 9.99999997e-7.
double shortest(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;  // was a double in the file
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, narrow).ptr;
  double read = value;
  std::from_chars(text, end, read);
  return read;
}

// What arch deepseek cannot say of a mixture, key by key; empty where it can say all.
std::string beyond_deepseek(const ModelConfig& c) {
  const auto found = [](const char* key, const auto& value) {
    if constexpr (std::is_enum_v<std::decay_t<decltype(value)>>) {
      return std::string(key) + " " + std::string(spec::enum_text(value));
    } else {
      std::string text = std::to_string(value);
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) text = value ? "true" : "false";
      return std::string(key) + " " + text;
    }
  };
  if (!c.is_moe()) return found("n_routed_experts", c.n_routed_experts);
  if (c.router_type != spec::RouterType::kTopk) return found("router_type", c.router_type);
  if (c.scoring_func != spec::ScoringFunc::kSoftmax) return found("scoring_func", c.scoring_func);
  if (c.topk_method != spec::TopkMethod::kGreedy) return found("topk_method", c.topk_method);
  if (c.n_group != 1) return found("n_group", c.n_group);
  if (c.norm_topk_prob) return found("norm_topk_prob", c.norm_topk_prob);
  if (c.routed_scaling_factor != 1) return found("routed_scaling_factor", c.routed_scaling_factor);
  if (c.moe_layer_freq != 1) return found("moe_layer_freq", c.moe_layer_freq);
  if (c.n_shared_experts == 0) return found("n_shared_experts", c.n_shared_experts);
  return {};
}

std::string beyond(const ModelConfig& config, GgufArch arch) {
  if (arch == GgufArch::kDeepseek) return beyond_deepseek(config);
  if (arch == GgufArch::kLlama && config.is_moe()) return "n_routed_experts " + std::to_string(config.n_routed_experts);
  return {};
}

// One file's keys under an arch's prefix; it remembers which were asked for, as those are computed with.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view arch) : file_(file), prefix_(std::string(arch) + ".") {}

  const std::string& prefix() const { return prefix_; }
  const std::set<std::string, std::less<>>& asked() const { return asked_; }
  bool has(const char* name) { return file_.find(key(name)) != nullptr; }
  void required(const char* name, int64_t& out) {
    const auto value = integer(name);
    if (!value) base::fail_invalid("gguf", "a key is missing", file_.path().string() + ", " + key(name));
    out = *value;
  }
  void optional(const char* name, int64_t& out) { out = integer(name).value_or(out); }
  void optional(const char* name, double& out) {
    if (const auto value = file_.number(key(name))) out = shortest(*value);
  }
  void optional(const char* name, bool& out) { out = file_.boolean(key(name)).value_or(out); }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void optional(const char* name, Enum& out) {
    const std::string full = key(name);
    if (const auto text = file_.text(full)) {
      out = spec::parse_enum<Enum>(std::string(*text), full.c_str(), file_.path().string());
    }
  }

 private:
  std::string key(const char* name) {
    asked_.insert(name);
    return prefix_ + name;
  }
  // An array has one number a layer; where all are the same it says what the number alone would.
  std::optional<int64_t> integer(const char* name) {
    const std::string full = key(name);
    const GgufValue* value = file_.find(full);
    if (!value || value->type != GgufValueType::kArray) return file_.integer(full);
    const std::vector<int64_t> layers = file_.integers(full).value();
    if (layers.empty() || std::count(layers.begin(), layers.end(), layers[0]) != std::ssize(layers)) {
      base::fail_invalid("gguf", full + " must be the same in every layer", file_.path().string());
    }
    return layers[0];
  }

  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string, std::less<>> asked_;
};

void read_experts(Keys& keys, ModelConfig& c) {
  keys.required("expert_count", c.n_routed_experts);
  keys.required("expert_used_count", c.num_experts_per_tok);
  keys.required("expert_shared_count", c.n_shared_experts);
  keys.required("expert_feed_forward_length", c.moe_intermediate_size);
  keys.optional("leading_dense_block_count", c.first_k_dense_replace);
}

// deepseek and llama.
ModelConfig read_known(const GgufFile& file, Keys& keys, GgufArch arch, int64_t vocab_size) {
  ModelConfig c;
  c.vocab_size = vocab_size;
  keys.optional("vocab_size", c.vocab_size);
  keys.required("embedding_length", c.hidden_size);
  keys.required("block_count", c.num_hidden_layers);
  keys.required("attention.head_count", c.num_attention_heads);
  c.num_key_value_heads = c.num_attention_heads;
  keys.optional("attention.head_count_kv", c.num_key_value_heads);
  keys.required("feed_forward_length", c.intermediate_size);
  keys.required("context_length", c.max_position_embeddings);
  c.rms_norm_eps = 0;
  keys.optional("attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  keys.optional("rope.freq_base", c.rope_theta);
  c.initializer_range = 0.02;  // the format has no word for it, and only training asks
  if (arch == GgufArch::kDeepseek) read_experts(keys, c);
  c.bos_token_id = gguf_token_id(file, "tokenizer.ggml.bos_token_id").value_or(-1);
  c.eos_token_id = gguf_token_id(file, "tokenizer.ggml.eos_token_id").value_or(-1);
  return c;
}

// Fields whose -1, none, is said by leaving the key out.
bool may_be_none(std::string_view name) { return name == "bos_token_id" || name == "eos_token_id"; }

ModelConfig read_own(const GgufFile& file, Keys& keys) {
  ModelConfig config;
  config.bos_token_id = config.eos_token_id = -1;
  spec::visit_model_fields(config, [&](const char* name, auto& field, const char*) {
    if (!keys.has(name) && !may_be_none(name))
      base::fail_invalid("gguf", "a key is missing", file.path().string() + ", " + keys.prefix() + name);
    keys.optional(name, field);
  });
  return config;
}

void add_known_keys(GgufMetadata& metadata, const ModelConfig& c, GgufArch arch) {
  const auto key = [&](const char* name) { return std::string(gguf_arch_name(arch)) + "." + name; };
  metadata.add_u32(key("block_count"), c.num_hidden_layers);
  metadata.add_u32(key("context_length"), c.max_position_embeddings);
  metadata.add_u32(key("embedding_length"), c.hidden_size);
  metadata.add_u32(key("feed_forward_length"), c.intermediate_size);
  metadata.add_u32(key("attention.head_count"), c.num_attention_heads);
  metadata.add_u32(key("attention.head_count_kv"), c.num_key_value_heads);
  metadata.add_f32(key("attention.layer_norm_rms_epsilon"), c.rms_norm_eps);
  metadata.add_f32(key("rope.freq_base"), c.rope_theta);
  metadata.add_u32(key("rope.dimension_count"), c.head_dim());
  metadata.add_u32(key("vocab_size"), c.vocab_size);
  if (arch == GgufArch::kLlama) return;
  metadata.add_text(key("rope.scaling.type"), "none");
  metadata.add_u32(key("leading_dense_block_count"), c.first_k_dense_replace);
  metadata.add_u32(key("expert_count"), c.n_routed_experts);
  metadata.add_u32(key("expert_used_count"), c.num_experts_per_tok);
  metadata.add_u32(key("expert_shared_count"), c.n_shared_experts);
  metadata.add_u32(key("expert_feed_forward_length"), c.moe_intermediate_size);
  metadata.add_f32(key("expert_weights_scale"), 1);
}

struct OwnKeys {
  GgufMetadata& metadata;
  void operator()(const char* name, int64_t value, const char*) const {
    if (value >= 0 || !may_be_none(name)) metadata.add_u32(key(name), value);
  }
  void operator()(const char* name, double value, const char*) const { metadata.add_f64(key(name), value); }
  void operator()(const char* name, bool value, const char*) const { metadata.add_bool(key(name), value); }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void operator()(const char* name, Enum value, const char*) const {
    metadata.add_text(key(name), spec::enum_text(value));
  }
  static std::string key(const char* name) { return std::string("dsmoe.") + name; }
};

}  // namespace

std::string_view gguf_arch_name(GgufArch arch) {
  return arch == GgufArch::kDeepseek ? "deepseek" : arch == GgufArch::kLlama ? "llama" : "dsmoe";
}

GgufArch gguf_arch_for(const ModelConfig& config, std::string_view wanted) {
  for (const GgufArch arch : kArchs) {
    const std::string key = beyond(config, arch);
    if (wanted.empty() && key.empty()) return arch;
    if (wanted != gguf_arch_name(arch)) continue;
    if (key.empty()) return arch;
    base::fail_invalid("gguf", "arch " + std::string(wanted) + " cannot express this model's", key,
                       "arch dsmoe can; llama.cpp refuses such a file");
  }
  base::fail_invalid("gguf", "the arch must be deepseek, llama or dsmoe", in_quotes(wanted));
}

void add_model_keys(GgufMetadata& metadata, const ModelConfig& config, GgufArch arch) {
  DSMOE_CHECK(beyond(config, arch).empty(), "the arch was chosen by gguf_arch_for");
  metadata.add_text("general.architecture", gguf_arch_name(arch));
  if (arch == GgufArch::kDsmoe) {
    spec::visit_model_fields(config, OwnKeys{metadata});
  } else {
    add_known_keys(metadata, config, arch);
  }
}

ModelConfig config_from_gguf(const GgufFile& file, GgufArch& arch, int64_t vocab_size) {
  const std::string where = file.path().string();
  const auto name = file.text("general.architecture");
  if (!name) base::fail_invalid("gguf", "a model has general.architecture", where, "this file holds something else");
  bool known = false;
  for (const GgufArch each : kArchs) {
    if (*name != gguf_arch_name(each)) continue;
    arch = each;
    known = true;
  }
  if (!known) {
    const bool latent = *name == "deepseek2";
    base::fail_invalid("gguf", "general.architecture must be deepseek, llama or dsmoe", where + ", " + in_quotes(*name),
                       latent ? "this one uses multi-head latent attention, which dsmoe does not compute" : "");
  }
  if (file.integer("split.count").value_or(1) > 1) {
    base::fail_invalid("gguf", "a model must be one file", where + " is a part of several",
                       "llama-gguf-split --merge joins them");
  }
  Keys keys(file, *name);
  ModelConfig config = arch == GgufArch::kDsmoe ? read_own(file, keys) : read_known(file, keys, arch, vocab_size);
  spec::validate(config, where);
  check_gguf_keys(file, keys.prefix(), keys.asked(), config);
  return config;
}

}  // namespace dsmoe::formats
