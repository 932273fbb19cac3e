#include "formats/config_json.h"

#include "base/error.h"
#include "formats/config_key_rules.h"
#include "formats/config_rotary.h"
#include "spec/enum_names.h"

namespace dsmoe::formats {
namespace {

using base::Json;
using spec::ModelConfig;

// One config.json being read: a key that is absent leaves the default, and so does null where the format's classes know
// it; one of the wrong type is refused.
class Reader {
 public:
  Reader(const Json& json, std::string_view where) : json_(json), where_(where) {}

  const Json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  void required(const char* key, int64_t& out) const {
    out = base::require_int(json_, key, INT64_MIN, INT64_MAX, where_);
  }
  void optional(const char* key, int64_t& out) const {
    if (find(key) != nullptr) required(key, out);
  }
  void optional(const char* key, double& out) const {
    if (find(key) != nullptr) out = base::require_number(json_, key, where_);
  }
  void optional(const char* key, bool& out) const {
    if (find(key) != nullptr) out = base::require_bool(json_, key, where_);
  }
  /// A number that the formats' classes compute with as it is, so that null is an error there too.
  template <class Number>
  void not_null(const char* key, Number& out) const {
    if (!json_.contains(key)) return;
    if constexpr (std::is_integral_v<Number>) {
      required(key, out);
    } else {
      out = base::require_number(json_, key, where_);
    }
  }
  template <class Enum>
  void choice(const char* key, Enum& out) const {
    if (find(key) != nullptr) out = spec::parse_enum<Enum>(base::require_string(json_, key, where_), key, where_);
  }
  /// An id, or a list of ids of which the first counts; null, an empty list and -1 are none. An absent key is the
  /// default, which a smaller vocabulary may not have.
  void token_id(const char* key, int64_t vocab_size, int64_t& out) const {
    const auto found = json_.find(key);
    if (found == json_.end()) {
      if (out >= vocab_size) out = -1;
      return;
    }
    const Json value = found->is_array() ? found->empty() ? Json() : found->front() : *found;
    out = value.is_null() ? -1 : base::require_int(Json{{key, value}}, key, INT64_MIN, INT64_MAX, where_);
  }

 private:
  const Json& json_;
  std::string_view where_;
};

void read_common(const Reader& reader, ModelConfig& config) {
  reader.required("vocab_size", config.vocab_size);
  reader.required("hidden_size", config.hidden_size);
  reader.required("num_hidden_layers", config.num_hidden_layers);
  reader.required("num_attention_heads", config.num_attention_heads);
  reader.required("intermediate_size", config.intermediate_size);
  config.num_key_value_heads = config.num_attention_heads;
  reader.optional("num_key_value_heads", config.num_key_value_heads);
  reader.not_null("max_position_embeddings", config.max_position_embeddings);
  reader.not_null("rms_norm_eps", config.rms_norm_eps);
  reader.optional("initializer_range", config.initializer_range);
  reader.token_id("bos_token_id", config.vocab_size, config.bos_token_id);
  reader.token_id("eos_token_id", config.vocab_size, config.eos_token_id);
}

void read_experts(const Reader& reader, ModelConfig& config) {
  reader.optional("n_routed_experts", config.n_routed_experts);
  if (!config.is_moe()) return;  // null, absent or 0: a dense model in the deepseek spelling
  reader.required("num_experts_per_tok", config.num_experts_per_tok);
  reader.required("moe_intermediate_size", config.moe_intermediate_size);
  reader.optional("n_shared_experts", config.n_shared_experts);
  reader.not_null("first_k_dense_replace", config.first_k_dense_replace);
  reader.not_null("moe_layer_freq", config.moe_layer_freq);
  reader.choice("router_type", config.router_type);
  reader.choice("scoring_func", config.scoring_func);
  reader.choice("topk_method", config.topk_method);
  reader.optional("n_group", config.n_group);
  reader.optional("topk_group", config.topk_group);
  reader.optional("norm_topk_prob", config.norm_topk_prob);
  reader.optional("routed_scaling_factor", config.routed_scaling_factor);
}

// What the two formats' own classes assume where a file is silent.
ModelConfig class_defaults(bool deepseek) {
  ModelConfig config;
  config.max_position_embeddings = 2048;
  config.rms_norm_eps = 1e-6;
  config.rope_theta = 10000.0;
  config.initializer_range = 0.02;
  config.bos_token_id = deepseek ? 100000 : 1;
  config.eos_token_id = deepseek ? 100001 : 2;
  return config;
}

void write_experts(const ModelConfig& c, Json& json) {
  json["moe_intermediate_size"] = c.moe_intermediate_size;
  json["n_routed_experts"] = c.n_routed_experts;
  json["n_shared_experts"] = c.n_shared_experts > 0 ? Json(c.n_shared_experts) : Json(nullptr);
  json["num_experts_per_tok"] = c.num_experts_per_tok;
  json["first_k_dense_replace"] = c.first_k_dense_replace;
  json["moe_layer_freq"] = c.moe_layer_freq;
  json["norm_topk_prob"] = c.norm_topk_prob;
  json["scoring_func"] = spec::enum_text(c.scoring_func);
  const auto extra = [&](const char* key, const Json& value, bool plain) {
    if (plain) {
      json.erase(key);
    } else {
      json[key] = value;
    }
  };
  const ModelConfig plain;
  extra("router_type", spec::enum_text(c.router_type), c.router_type == plain.router_type);
  extra("topk_method", spec::enum_text(c.topk_method), c.topk_method == plain.topk_method);
  extra("n_group", c.n_group, c.n_group == plain.n_group);
  extra("topk_group", c.topk_group, c.topk_group == plain.topk_group);
  extra("routed_scaling_factor", c.routed_scaling_factor, c.routed_scaling_factor == plain.routed_scaling_factor);
}

// A list that begins with the id stays a list: the config knows its first alone.
Json token_id_to_json(int64_t id, const Json& kept, const char* key) {
  const auto found = kept.find(key);
  if (found != kept.end() && found->is_array() && !found->empty() && found->front() == id) return *found;
  return id >= 0 ? Json(id) : Json(nullptr);
}

const char* torch_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBf16:
      return "bfloat16";
    case Dtype::kF16:
      return "float16";
    case Dtype::kF64:
      return "float64";
    case Dtype::kF32:
      return "float32";
    default:
      base::fail_invalid("config.json", "weights are stored as floats", name_of(dtype));
  }
}

}  // namespace

spec::ModelConfig config_from_json(const Json& json, std::string_view where) {
  const std::string type = base::require_string(json, "model_type", where);
  const bool deepseek = type == "deepseek";
  if (!deepseek && type != "llama") {
    const bool latent = type == "deepseek_v2" || type == "deepseek_v3" || type == "deepseek_v32";
    base::fail_invalid(where, "model_type must be deepseek or llama", base::in_quotes(type),
                       latent ? "this one uses multi-head latent attention, which dsmoe does not compute" : "");
  }
  const Reader reader(json, where);
  ModelConfig config = class_defaults(deepseek);
  read_common(reader, config);
  config.rope_theta = rope_theta_from_json(json, where, config.rope_theta);
  if (deepseek) read_experts(reader, config);
  spec::validate(config, where);
  check_config_keys(json, where, config);
  return config;
}

Dtype dtype_from_json(const Json& json, std::string_view where) {
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) continue;
    const std::string name = base::require_string(json, key, where);
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16, Dtype::kF32, Dtype::kF64}) {
      if (name == torch_name(dtype)) return dtype;
    }
    base::fail_invalid(where, std::string(key) + " must be bfloat16, float16, float32 or float64",
                       base::in_quotes(name));
  }
  return Dtype::kF32;
}

Json config_to_json(const ModelConfig& c, Dtype dtype, const Json& kept) {
  const bool moe = c.is_moe();
  Json json = kept.is_object() ? kept : Json::object();
  json["architectures"] = Json::array({moe ? "DeepseekForCausalLM" : "LlamaForCausalLM"});
  json["model_type"] = moe ? "deepseek" : "llama";
  json["attention_bias"] = false;
  json["bos_token_id"] = token_id_to_json(c.bos_token_id, json, "bos_token_id");
  json["eos_token_id"] = token_id_to_json(c.eos_token_id, json, "eos_token_id");
  json["hidden_act"] = "silu";
  json["hidden_size"] = c.hidden_size;
  json["initializer_range"] = c.initializer_range;
  json["intermediate_size"] = c.intermediate_size;
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["num_attention_heads"] = c.num_attention_heads;
  json["num_hidden_layers"] = c.num_hidden_layers;
  json["num_key_value_heads"] = c.num_key_value_heads;
  json["rms_norm_eps"] = c.rms_norm_eps;
  json["rope_scaling"] = nullptr;
  json["rope_theta"] = c.rope_theta;
  json["tie_word_embeddings"] = false;
  json["vocab_size"] = c.vocab_size;
  json["torch_dtype"] = torch_name(dtype);
  if (json.contains("dtype")) json["dtype"] = torch_name(dtype);
  for (const char* key : {"rope_parameters", "head_dim"}) json.erase(key);  // said by the keys above
  if (!json.contains("attention_dropout")) json["attention_dropout"] = 0.0;
  if (!json.contains("use_cache")) json["use_cache"] = true;
  if (moe) write_experts(c, json);
  return json;
}

}  // namespace dsmoe::formats
