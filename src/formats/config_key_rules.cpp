#include "formats/config_key_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/config_rotary.h"
#include "formats/config_values.h"
#include "spec/enum_names.h"

namespace dsmoe::formats {
namespace {

using base::Json;
using spec::ModelConfig;

constexpr std::string_view kOnlyPlain = "dsmoe computes the plain deepseek and llama layers only";

// Null is harmless for every key: the classes take it for silence.
enum class Harmless {
  kAlways,          //
  kOff,             // false, 0 or empty
  kNull,            // nothing else
  kOne,             // 1, a list of ones, or false
  kTrue,            //
  kSilu,            // "silu" or its other name
  kRmsNorm,         //
  kRotary,          // rotary embeddings, by one of their names
  kTheta,           // rope_theta
  kHeadSize,        // hidden_size / num_attention_heads
  kAttentionScale,  // 1 / sqrt(head size)
  kFullAttention,   // a list of "full_attention"
  kWideWindow,      // off, as long as the longest sequence, or said to be unused
  // Of mixtures; in a dense model they say nothing.
  kSame,         // the number of the field beside it
  kSharedWidth,  // of all shared experts together
  kScoring,      // scoring_func
  kGateScale,    // routed_scaling_factor
  kNormalised,   // norm_topk_prob
  kMixtures,     // a list of "dense" and "sparse"
};

struct KeyRule {
  const char* pattern;  // as the shell's: * stands for any characters
  Harmless at;
  int64_t ModelConfig::*same = nullptr;
};

// The first row that fits a key counts.
constexpr KeyRule kRules[] = {
    // read elsewhere, or saying how something is done that has a row of its own
    {"rope_theta", Harmless::kAlways},
    {"use_sliding_window", Harmless::kAlways},
    {"max_window_layers", Harmless::kAlways},
    {"*window_pattern", Harmless::kAlways},
    // mixtures
    {"num_experts", Harmless::kSame, &ModelConfig::n_routed_experts},
    {"num_local_experts", Harmless::kSame, &ModelConfig::n_routed_experts},
    {"num_routed_experts", Harmless::kSame, &ModelConfig::n_routed_experts},
    {"moe_num_experts", Harmless::kSame, &ModelConfig::n_routed_experts},
    {"num_experts_per_token", Harmless::kSame, &ModelConfig::num_experts_per_tok},
    {"experts_per_token", Harmless::kSame, &ModelConfig::num_experts_per_tok},
    {"moe_top*k", Harmless::kSame, &ModelConfig::num_experts_per_tok},
    {"moe_k", Harmless::kSame, &ModelConfig::num_experts_per_tok},
    {"*router_top*k", Harmless::kSame, &ModelConfig::num_experts_per_tok},
    {"*num_shared_experts", Harmless::kSame, &ModelConfig::n_shared_experts},
    {"num_expert_group*", Harmless::kSame, &ModelConfig::n_group},
    {"decoder_sparse_step", Harmless::kSame, &ModelConfig::moe_layer_freq},
    {"interleave_moe_layer_step", Harmless::kSame, &ModelConfig::moe_layer_freq},
    {"moe_layer_interval", Harmless::kSame, &ModelConfig::moe_layer_freq},
    {"moe_every_n_layers", Harmless::kSame, &ModelConfig::moe_layer_freq},
    {"moe_layer_start_index", Harmless::kSame, &ModelConfig::first_k_dense_replace},
    {"mlp_layer_types", Harmless::kMixtures},
    {"mlp_only_layers", Harmless::kOff},
    {"*shared_expert*intermediate_size", Harmless::kSharedWidth},
    {"*shared_expert_gate*", Harmless::kOff},
    {"*shared_expert*scale", Harmless::kOne},
    {"scor*_func*", Harmless::kScoring},
    {"*router_score_func*", Harmless::kScoring},
    {"*router_activation*", Harmless::kScoring},
    {"*gating_func*", Harmless::kScoring},
    {"*rout*_scaling_factor", Harmless::kGateScale},
    {"route*_scale", Harmless::kGateScale},
    {"norm_expert_weight*", Harmless::kNormalised},
    {"*normalize_expert_weights", Harmless::kNormalised},
    {"*renormalize*", Harmless::kNormalised},
    {"norm_topk*", Harmless::kNormalised},
    {"route_norm", Harmless::kNormalised},
    {"router_temperature", Harmless::kOne},
    {"*weight_on_input", Harmless::kOff},
    {"*capacity_factor", Harmless::kOff},
    {"expert_capacity", Harmless::kOff},
    {"*zero_expert*", Harmless::kOff},
    {"*hash_layers", Harmless::kOff},
    {"moe_latent_size", Harmless::kOff},
    // the head, projections and norms
    {"*tie*embed*", Harmless::kOff},
    {"tie_weights", Harmless::kOff},
    {"weight_tying", Harmless::kOff},
    {"*embed*tied", Harmless::kOff},
    {"share*_embeddings", Harmless::kOff},
    {"no_bias", Harmless::kTrue},
    {"*bias", Harmless::kOff},
    {"add_bias_linear", Harmless::kOff},
    {"*qk*norm*", Harmless::kOff},
    {"*post_norm*", Harmless::kOff},
    {"*sandwich_norm*", Harmless::kOff},
    {"norm_after", Harmless::kOff},
    {"norm_reorder", Harmless::kOff},
    {"*residual_connection_post*", Harmless::kOff},
    {"*parallel_residual", Harmless::kOff},
    {"*parallel_attn", Harmless::kOff},
    {"*unit_offset*", Harmless::kOff},
    {"*zero_centered*", Harmless::kOff},
    {"*norm_type", Harmless::kRmsNorm},
    {"normalization*", Harmless::kRmsNorm},
    {"*use_rms*norm", Harmless::kTrue},
    {"pruned_heads", Harmless::kOff},
    {"*hidden_act*", Harmless::kSilu},
    {"activation", Harmless::kSilu},
    {"activation_f*", Harmless::kSilu},
    {"activation_type", Harmless::kSilu},
    {"mlp_activation", Harmless::kSilu},
    {"expert_activation", Harmless::kSilu},
    {"*act_fn", Harmless::kSilu},
    {"use_glu", Harmless::kTrue},
    {"gated_mlp", Harmless::kTrue},
    {"swiglu_limit", Harmless::kOff},
    {"swiglu_alpha", Harmless::kOne},
    {"quantization*", Harmless::kNull},
    {"quant_method", Harmless::kNull},
    {"compression_config", Harmless::kNull},
    // layers that are more, or fewer, than a stack of blocks
    {"*kv_shared*", Harmless::kOff},
    {"use_cla", Harmless::kOff},
    {"num_loops", Harmless::kOne},
    {"total_ut_steps", Harmless::kOne},
    {"hc_mult", Harmless::kOff},
    {"*per_layer_input", Harmless::kOff},
    {"*altup*", Harmless::kOff},
    {"laurel_rank", Harmless::kOff},
    {"*layer_scale*", Harmless::kOff},
    {"*mamba_*", Harmless::kOff},
    {"ssm_*", Harmless::kOff},
    // attention: its shape, its reach, its scale
    {"*head_dim", Harmless::kHeadSize},
    {"kv_channels", Harmless::kHeadSize},
    {"d_kv", Harmless::kHeadSize},
    {"hidden_size_per_head", Harmless::kHeadSize},
    {"attn_config", Harmless::kOff},
    {"ffn_config", Harmless::kOff},
    {"use_mla", Harmless::kOff},
    {"q_lora_rank", Harmless::kOff},
    {"kv_lora_rank", Harmless::kOff},
    {"non_causal", Harmless::kOff},
    {"*causal*", Harmless::kTrue},
    {"*bidirectional*", Harmless::kOff},
    {"*prefix_lm", Harmless::kOff},
    {"is_encoder_decoder", Harmless::kOff},
    {"add_cross_attention", Harmless::kOff},
    {"*window", Harmless::kWideWindow},
    {"*window_size", Harmless::kWideWindow},
    {"*attention_chunk*", Harmless::kOff},
    {"*sparse_att*", Harmless::kOff},
    {"sparse_config", Harmless::kOff},
    {"index_topk", Harmless::kOff},
    {"*linear_attn*", Harmless::kOff},
    {"attn_type_list", Harmless::kOne},
    {"full_attention_interval", Harmless::kOne},
    {"hybrid*_pattern", Harmless::kOff},
    {"layer_types", Harmless::kFullAttention},
    {"layers_block_type", Harmless::kFullAttention},
    {"block_types", Harmless::kFullAttention},
    {"att*_types", Harmless::kFullAttention},
    {"attention_multiplier", Harmless::kAttentionScale},
    {"attention_scale", Harmless::kAttentionScale},
    {"attn_scale", Harmless::kAttentionScale},
    {"softmax_scale", Harmless::kAttentionScale},
    {"query_pre_attn_scalar", Harmless::kHeadSize},
    {"scale_attn_weights", Harmless::kTrue},
    {"scale_attn_by*", Harmless::kOff},
    {"attn_temperature*", Harmless::kOff},
    {"*logn_attn", Harmless::kOff},
    {"*attention_sink*", Harmless::kOff},
    {"use_sinks", Harmless::kOff},
    {"*att*_gate", Harmless::kOff},
    {"*output_gate", Harmless::kOff},
    {"*gated_att*", Harmless::kOff},
    {"use_differential*", Harmless::kOff},
    {"dual_chunk*", Harmless::kOff},
    {"local_attention", Harmless::kOff},
    {"*soft*cap*", Harmless::kOff},
    {"*logit_cap*", Harmless::kOff},
    {"clip_qkv", Harmless::kOff},
    // where a token stands, beside rope_scaling and rope_parameters
    {"*alibi*", Harmless::kOff},
    {"*learned_position*", Harmless::kOff},
    {"pos*_emb*", Harmless::kRotary},
    {"use_rope", Harmless::kTrue},
    {"use_rotary*", Harmless::kTrue},
    {"*rope_theta*", Harmless::kTheta},
    {"rope_base", Harmless::kTheta},
    {"rope_local_base_freq", Harmless::kTheta},
    {"rotary*_base", Harmless::kTheta},
    {"partial_rotary_factor", Harmless::kOne},
    {"ro*_pct", Harmless::kOne},
    {"ro*_percent*", Harmless::kOne},
    {"rotary*fraction", Harmless::kOne},
    {"rotary*dim*", Harmless::kHeadSize},
    {"rope_dim", Harmless::kHeadSize},
    {"rope_ratio", Harmless::kOne},
    {"rope_scal*factor", Harmless::kOne},
    {"rope_factor", Harmless::kOne},
    {"rope_scale", Harmless::kOne},
    {"rope_type", Harmless::kRotary},
    {"rope_scaling_type", Harmless::kRotary},
    {"*rope*interleave*", Harmless::kOff},
    {"*interleave*rope*", Harmless::kOff},
    {"rotary*interleave*", Harmless::kOff},
    {"no_rope_layers", Harmless::kOne},
    {"no*rope*interval", Harmless::kOff},
    {"nope_layer_interval", Harmless::kOff},
    {"mrope_section", Harmless::kOff},
    {"*ntk*", Harmless::kOff},
    {"long_factor", Harmless::kOff},
    {"short_factor", Harmless::kOff},
    // factors of the residual stream and of the logits
    {"*multiplier*", Harmless::kOne},
    {"emb*_scale", Harmless::kOne},
    {"scale_emb", Harmless::kOne},
    {"scale_embedding*", Harmless::kOff},
    {"normalize_embeddings", Harmless::kOff},
    {"residual_scale", Harmless::kOne},
    {"residual_alpha", Harmless::kOne},
    {"scale_depth", Harmless::kOff},
    {"dim_model_base", Harmless::kOff},
    {"width_scale", Harmless::kOne},
    {"*logit*_scal*", Harmless::kOne},
    {"lm_head_scale", Harmless::kOne},
    {"use_mup", Harmless::kOff},
    {"mup_*", Harmless::kOne},
};

template <class Is>
bool each(const Json& value, Is&& is) {
  return value.is_array() ? std::all_of(value.begin(), value.end(), is) : is(value);
}

bool one_of(const Json& value, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return value == Json(name); });
}

// One key being checked.
class KeyCheck {
 public:
  KeyCheck(const Json& json, const Json& value, const KeyRule& rule, const ModelConfig& config)
      : json_(json), value_(value), rule_(rule), config_(config) {}

  bool is_harmless() const {
    switch (rule_.at) {
      case Harmless::kAlways:
        return true;
      case Harmless::kOff:
        return is_off(value_);
      case Harmless::kNull:
        return false;
      case Harmless::kOne:
        return value_ == Json(false) || each(value_, [](const Json& one) { return is_number(one, 1); });
      case Harmless::kTrue:
        return value_ == Json(true);
      case Harmless::kSilu:
        return one_of(value_, {"silu", "swish"});
      case Harmless::kRmsNorm:
        return one_of(value_, {"rmsnorm", "rms_norm", "RMSNorm", "rms"});
      case Harmless::kRotary:
        return one_of(value_, {"rope", "rotary", "default", "none"});
      case Harmless::kTheta:
        return is_off(value_) || is_number(value_, config_.rope_theta);
      case Harmless::kHeadSize:
        return is_number(value_, static_cast<double>(config_.head_dim()));
      case Harmless::kAttentionScale:
        return is_attention_scale();
      case Harmless::kFullAttention:
        return value_.is_array() && each(value_, [](const Json& one) {
                 return one_of(one, {"full_attention", "attention"});
               });
      case Harmless::kWideWindow:
        return is_unused_window();
      default:
        return !config_.is_moe() || says_the_same();
    }
  }

  std::string harmless_text() const {
    const std::string head_dim = std::to_string(config_.head_dim());
    switch (rule_.at) {
      case Harmless::kNull:
        return "null";
      case Harmless::kOne:
        return "1";
      case Harmless::kTrue:
        return "true";
      case Harmless::kSilu:
        return "silu";
      case Harmless::kRmsNorm:
        return "rmsnorm";
      case Harmless::kRotary:
        return "rope, rotary or default";
      case Harmless::kTheta:
        return "rope_theta = " + base::dump_json(Json(config_.rope_theta));
      case Harmless::kHeadSize:
        return "hidden_size / num_attention_heads = " + head_dim;
      case Harmless::kAttentionScale:
        return "1 / sqrt(" + head_dim + ")";
      case Harmless::kFullAttention:
        return "full_attention in every layer";
      case Harmless::kWideWindow:
        return "null, or at least max_position_embeddings = " + std::to_string(config_.max_position_embeddings);
      case Harmless::kSame:
        return std::to_string(config_.*rule_.same);
      case Harmless::kSharedWidth:
        return std::to_string(config_.shared_intermediate_size());
      case Harmless::kScoring:
        return "scoring_func = " + spec::enum_text(config_.scoring_func);
      case Harmless::kGateScale:
        return "routed_scaling_factor = " + base::dump_json(Json(config_.routed_scaling_factor));
      case Harmless::kNormalised:
        return std::string("norm_topk_prob = ") + (config_.norm_topk_prob ? "true" : "false");
      case Harmless::kMixtures:
        return "sparse in the layers with experts and dense in all others";
      default:
        return "false, 0 or null";
    }
  }

 private:
  bool is_unused_window() const {
    const Json* used = find(json_, "use_sliding_window");
    const bool wide =
        value_.is_number() && value_.get<double>() >= static_cast<double>(config_.max_position_embeddings);
    const Json* layers = find(json_, "layer_types");  // a rule of its own
    return is_off(value_) || wide || (used && is_off(*used)) || (layers && !layers->empty());
  }
  bool is_attention_scale() const {
    const double wanted = 1 / std::sqrt(static_cast<double>(config_.head_dim()));
    return value_.is_number() && std::abs(value_.get<double>() / wanted - 1) < 1e-6;  // as few digits as float32 has
  }

  // A mixture's key beside the one that is read: what it says is said there too.
  bool says_the_same() const {
    switch (rule_.at) {
      case Harmless::kSame:
        return is_number(value_, static_cast<double>(config_.*rule_.same));
      case Harmless::kSharedWidth:
        return is_off(value_) || is_number(value_, static_cast<double>(config_.shared_intermediate_size()));
      case Harmless::kScoring:
        return value_ == Json(spec::enum_text(config_.scoring_func));
      case Harmless::kGateScale:
        return is_number(value_, config_.routed_scaling_factor);
      case Harmless::kNormalised:
        return value_ == Json(config_.norm_topk_prob);
      default:  // kMixtures
        return is_list_of_mixtures();
    }
  }
  bool is_list_of_mixtures() const {
    if (!value_.is_array() || static_cast<int64_t>(value_.size()) != config_.num_hidden_layers) return false;
    for (size_t layer = 0; layer < value_.size(); ++layer) {
      const bool mixture = config_.is_moe_layer(static_cast<int64_t>(layer));
      if (value_[layer] != Json(mixture ? "sparse" : "dense")) return false;
    }
    return true;
  }

  const Json& json_;
  const Json& value_;
  const KeyRule& rule_;
  const ModelConfig& config_;
};

}  // namespace

void check_config_keys(const Json& json, std::string_view where, const ModelConfig& config) {
  for (const auto& [key, value] : json.items()) {
    if (value.is_null()) continue;
    const auto rule = std::find_if(std::begin(kRules), std::end(kRules), [&key = key](const KeyRule& r) {
      return ::fnmatch(r.pattern, key.c_str(), 0) == 0;
    });
    if (rule == std::end(kRules)) continue;
    const KeyCheck check(json, value, *rule, config);
    if (check.is_harmless()) continue;
    base::fail_invalid(where, key + " must be " + check.harmless_text(), base::in_quotes(base::dump_json(value)),
                       kOnlyPlain);
  }
  check_rotary_objects(json, where, config);
}

}  // namespace dsmoe::formats
