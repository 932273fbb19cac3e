#include "formats/config_key_rules.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace dsmoe::formats {
namespace {

using base::Json;
using spec::ModelConfig;

constexpr std::string_view kOnlyPlain = "dsmoe computes the plain deepseek and llama layers only";

// Null is harmless for every key: the classes take it for silence.
enum class Harmless {
  kOff,             // false, 0 or empty
  kNull,            // nothing else
  kOne,             // 1, or a list of ones
  kTrue,            //
  kSilu,            // "silu" or its other name
  kHeadSize,        // hidden_size / num_attention_heads
  kAttentionScale,  // 1 / sqrt(head size)
  kFullAttention,   // a list of "full_attention"
  kWideWindow,      // off, as long as the longest sequence, or said to be unused
};

struct KeyRule {
  const char* key;
  Harmless at;
};

constexpr KeyRule kRules[] = {
    // the head, projections and norms
    {"tie_word_embeddings", Harmless::kOff},
    {"attention_bias", Harmless::kOff},
    {"mlp_bias", Harmless::kOff},
    {"use_bias", Harmless::kOff},
    {"qkv_bias", Harmless::kOff},
    {"add_qkv_bias", Harmless::kOff},
    {"add_bias_linear", Harmless::kOff},
    {"attention_out_bias", Harmless::kOff},
    {"qk_norm", Harmless::kOff},
    {"use_qk_norm", Harmless::kOff},
    {"qk_layernorm", Harmless::kOff},
    {"use_parallel_residual", Harmless::kOff},
    {"parallel_attn", Harmless::kOff},
    {"pruned_heads", Harmless::kOff},
    {"hidden_act", Harmless::kSilu},
    {"hidden_activation", Harmless::kSilu},
    {"swiglu_limit", Harmless::kOff},
    {"quantization_config", Harmless::kNull},
    {"compression_config", Harmless::kNull},
    // attention: its shape, its reach, its scale
    {"head_dim", Harmless::kHeadSize},
    {"v_head_dim", Harmless::kHeadSize},
    {"use_mla", Harmless::kOff},
    {"q_lora_rank", Harmless::kOff},
    {"kv_lora_rank", Harmless::kOff},
    {"qk_rope_head_dim", Harmless::kOff},
    {"qk_nope_head_dim", Harmless::kOff},
    {"is_causal", Harmless::kTrue},
    {"use_bidirectional_attention", Harmless::kOff},
    {"is_encoder_decoder", Harmless::kOff},
    {"add_cross_attention", Harmless::kOff},
    {"sliding_window", Harmless::kWideWindow},
    {"attention_chunk_size", Harmless::kOff},
    {"layer_types", Harmless::kFullAttention},
    {"attention_multiplier", Harmless::kAttentionScale},
    {"query_pre_attn_scalar", Harmless::kHeadSize},
    {"attn_temperature_tuning", Harmless::kOff},
    {"attn_logit_softcapping", Harmless::kOff},
    {"clip_qkv", Harmless::kOff},
    {"alibi", Harmless::kOff},
    // rotary embeddings, beside rope_scaling and rope_parameters
    {"partial_rotary_factor", Harmless::kOne},
    {"rotary_pct", Harmless::kOne},
    {"rope_ratio", Harmless::kOne},
    {"rope_scaling_factor", Harmless::kOne},
    {"rope_interleave", Harmless::kOff},
    {"no_rope_layers", Harmless::kOne},
    // factors of the residual stream and of the logits
    {"embedding_multiplier", Harmless::kOne},
    {"residual_multiplier", Harmless::kOne},
    {"scale_emb", Harmless::kOne},
    {"scale_depth", Harmless::kOff},
    {"dim_model_base", Harmless::kOff},
    {"logits_scaling", Harmless::kOne},
    {"logit_scale", Harmless::kOne},
    {"final_logit_softcapping", Harmless::kOff},
    {"router_logit_softcapping", Harmless::kOff},
};

const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool is_number(const Json& value, double wanted) { return value.is_number() && value.get<double>() == wanted; }

bool is_off(const Json& value) {
  return value == Json(false) || is_number(value, 0) ||
         ((value.is_structured() || value.is_string()) && value.empty()) || value == Json("");
}

template <class Is>
bool each(const Json& value, Is&& is) {
  return value.is_array() ? std::all_of(value.begin(), value.end(), is) : is(value);
}

bool is_unused_window(const Json& json, const Json& window, const ModelConfig& config) {
  const Json* used = find(json, "use_sliding_window");
  const bool wide = window.is_number() && window.get<double>() >= static_cast<double>(config.max_position_embeddings);
  const Json* layers = find(json, "layer_types");  // a rule of its own
  return is_off(window) || wide || (used && is_off(*used)) || (layers && !layers->empty());
}

bool is_attention_scale(const Json& value, const ModelConfig& config) {
  const double wanted = 1 / std::sqrt(static_cast<double>(config.head_dim()));
  return value.is_number() && std::abs(value.get<double>() / wanted - 1) < 1e-6;  // as few digits as float32 has
}

bool is_harmless(const Json& json, const Json& value, Harmless at, const ModelConfig& config) {
  switch (at) {
    case Harmless::kOff:
      return is_off(value);
    case Harmless::kNull:
      return false;
    case Harmless::kOne:
      return each(value, [](const Json& one) { return is_number(one, 1); });
    case Harmless::kTrue:
      return value == Json(true);
    case Harmless::kSilu:
      return value == Json("silu") || value == Json("swish");
    case Harmless::kHeadSize:
      return is_number(value, static_cast<double>(config.head_dim()));
    case Harmless::kAttentionScale:
      return is_attention_scale(value, config);
    case Harmless::kFullAttention:
      return value.is_array() && each(value, [](const Json& one) { return one == Json("full_attention"); });
    case Harmless::kWideWindow:
      return is_unused_window(json, value, config);
  }
  return false;
}

std::string harmless_text(Harmless at, const ModelConfig& config) {
  const std::string head_dim = std::to_string(config.head_dim());
  switch (at) {
    case Harmless::kOff:
      return "false, 0 or null";
    case Harmless::kNull:
      return "null";
    case Harmless::kOne:
      return "1";
    case Harmless::kTrue:
      return "true";
    case Harmless::kSilu:
      return "silu";
    case Harmless::kHeadSize:
      return "hidden_size / num_attention_heads = " + head_dim;
    case Harmless::kAttentionScale:
      return "1 / sqrt(" + head_dim + ")";
    case Harmless::kFullAttention:
      return "full_attention in every layer";
    case Harmless::kWideWindow:
      return "null, or at least max_position_embeddings = " + std::to_string(config.max_position_embeddings);
  }
  return {};
}

// rope_scaling and rope_parameters, the two names of one object. Its kind is spelt rope_type or type; where both are
// there they are judged both, as versions of transformers differ in which counts. A kind that scales by `factor` is the
// plain embedding where that is 1 (dynamic too: no sequence is longer than max_position_embeddings here).
class Rotation {
 public:
  Rotation(const Json& object, const char* name, std::string_view where)
      : object_(object), name_(name), where_(where) {}

  void judge() const {
    bool scaled = false, plain = false;
    for (const char* key : {"rope_type", "type"}) {
      const Json* type = find(object_, key);
      if (!type) continue;
      scaled = scaled || one_of(*type, {"linear", "dynamic", "yarn", "llama3"});
      plain = plain || *type == Json("default");
      if (!one_of(*type, {"default", "linear", "dynamic", "yarn", "llama3"})) refuse(key, "default");
    }
    if (scaled || !plain) {
      const Json* factor = find(object_, "factor");
      if (factor ? !is_number(*factor, 1) : scaled) refuse("factor", "1");
      must_be_one("attention_factor");
    }
    must_be_one("partial_rotary_factor");
    for (const auto& [key, value] : object_.items()) {
      if (!value.is_null() && !is_off(value) && !is_known(key)) refuse(key, "absent");
    }
  }

 private:
  static bool one_of(const Json& value, std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return value == Json(name); });
  }
  // Members judged above, and those that say how a factor is applied.
  static bool is_known(const std::string& key) {
    return one_of(key, {"rope_type", "type", "factor", "attention_factor", "partial_rotary_factor", "rope_theta",
                        "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
                        "truncate", "low_freq_factor", "high_freq_factor", "finetuned"});
  }
  void must_be_one(const char* key) const {
    const Json* value = find(object_, key);
    if (value && !is_number(*value, 1)) refuse(key, "1");
  }
  [[noreturn]] void refuse(const std::string& key, const char* wanted) const {
    base::fail_invalid(where_, std::string(name_) + "." + key + " must be " + wanted,
                       base::in_quotes(base::dump_json(object_)), "dsmoe computes rotary embeddings without scaling");
  }

  const Json& object_;
  const char* name_;
  std::string_view where_;
};

constexpr const char* kRotations[] = {"rope_scaling", "rope_parameters"};

// The object, or null where it is absent or empty.
const Json* rotation(const Json& json, const char* name, std::string_view where) {
  const Json* object = find(json, name);
  if (object && !object->is_object()) {
    base::fail_invalid(where, std::string(name) + " must be an object or null",
                       base::in_quotes(base::dump_json(*object)));
  }
  return object && !object->empty() ? object : nullptr;
}

}  // namespace

void judge_config_keys(const Json& json, std::string_view where, const ModelConfig& config) {
  for (const KeyRule& rule : kRules) {
    const Json* value = find(json, rule.key);
    if (!value || is_harmless(json, *value, rule.at, config)) continue;
    base::fail_invalid(where, std::string(rule.key) + " must be " + harmless_text(rule.at, config),
                       base::in_quotes(base::dump_json(*value)), kOnlyPlain);
  }
  for (const char* name : kRotations) {
    if (const Json* object = rotation(json, name, where)) Rotation(*object, name, where).judge();
  }
}

double rope_theta_from_json(const Json& json, std::string_view where, double silence) {
  const Json* scaling = rotation(json, "rope_scaling", where);
  const Json* parameters = rotation(json, "rope_parameters", where);
  const auto inside = [&](const Json* object) { return object && find(*object, "rope_theta") ? object : nullptr; };
  const Json* holder = inside(scaling ? scaling : parameters);
  if (!holder && json.contains("rope_theta")) holder = &json;
  const double theta = holder ? base::require_number(*holder, "rope_theta", where) : silence;
  if (scaling && inside(parameters) && base::require_number(*parameters, "rope_theta", where) != theta) {
    base::fail_invalid(where, "rope_parameters.rope_theta must be the one beside rope_scaling",
                       base::in_quotes(base::dump_json(*parameters)),
                       "rope_scaling takes the place of rope_parameters");
  }
  return theta;
}

}  // namespace dsmoe::formats
