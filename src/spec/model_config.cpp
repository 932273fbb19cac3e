#include "spec/model_config.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"
#include "spec/enum_names.h"
#include "spec/rules.h"

namespace dsmoe::spec {
namespace {

constexpr int64_t kMostWidth = 1 << 24;
constexpr int64_t kMostExperts = 1 << 16;

std::string pair_text(int64_t a, int64_t b) { return std::to_string(a) + " and " + std::to_string(b); }

void validate_sizes(const ModelConfig& c, std::string_view where) {
  in_range(where, "vocab_size", c.vocab_size, 1, kMostWidth);
  in_range(where, "hidden_size", c.hidden_size, 1, 1 << 20);
  in_range(where, "num_attention_heads", c.num_attention_heads, 1, 1 << 16);
  in_range(where, "num_key_value_heads", c.num_key_value_heads, 1, 1 << 16);
  in_range(where, "max_position_embeddings", c.max_position_embeddings, 1, kMostWidth);
  // -1: the model has none
  in_range(where, "bos_token_id", c.bos_token_id, -1, c.vocab_size - 1);
  in_range(where, "eos_token_id", c.eos_token_id, -1, c.vocab_size - 1);
  require(c.hidden_size % c.num_attention_heads == 0, where, "num_attention_heads must divide hidden_size",
          pair_text(c.num_attention_heads, c.hidden_size));
  require(c.head_dim() % 2 == 0, where, "the head size must be even for rotary embeddings",
          std::to_string(c.head_dim()), "it is hidden_size / num_attention_heads");
  require(c.num_attention_heads % c.num_key_value_heads == 0, where,
          "num_key_value_heads must divide num_attention_heads",
          pair_text(c.num_key_value_heads, c.num_attention_heads));
  inside(where, "rms_norm_eps", c.rms_norm_eps, 0, 1);
  inside(where, "rope_theta", c.rope_theta, 0, 1e12);
  in_range(where, "initializer_range", c.initializer_range, 0.0, 10.0);
}

// Checked for dense models too: counts multiply these before they ask what a layer is.
void validate_expert_sizes(const ModelConfig& c, std::string_view where) {
  in_range(where, "n_routed_experts", c.n_routed_experts, 0, kMostExperts);
  in_range(where, "n_shared_experts", c.n_shared_experts, 0, kMostExperts);
  in_range(where, "num_experts_per_tok", c.num_experts_per_tok, 0, kMostExperts);
  in_range(where, "moe_intermediate_size", c.moe_intermediate_size, c.is_moe() ? 1 : 0, kMostWidth);
  in_range(where, "first_k_dense_replace", c.first_k_dense_replace, 0, c.num_hidden_layers);
  in_range(where, "moe_layer_freq", c.moe_layer_freq, 1, 10000);
  in_range(where, "n_group", c.n_group, 1, kMostExperts);
  in_range(where, "topk_group", c.topk_group, 1, c.n_group);
  inside(where, "routed_scaling_factor", c.routed_scaling_factor, 0, 1e6);
}

void validate_dense(const ModelConfig& c, std::string_view where) {
  constexpr std::string_view kHint = "a dense rival of n shared experts has intermediate_size = n times their width";
  require(c.n_shared_experts == 0, where, "n_shared_experts must be 0 where n_routed_experts is 0",
          std::to_string(c.n_shared_experts), kHint);
  require(c.num_experts_per_tok == 0, where, "num_experts_per_tok must be 0 where n_routed_experts is 0",
          std::to_string(c.num_experts_per_tok), kHint);
}

void validate_routing(const ModelConfig& c, std::string_view where) {
  require(c.num_experts_per_tok >= 1 && c.num_experts_per_tok <= c.n_routed_experts, where,
          "num_experts_per_tok must be from 1 to n_routed_experts",
          pair_text(c.num_experts_per_tok, c.n_routed_experts), "a token cannot visit more experts than there are");
  require(c.n_routed_experts % c.n_group == 0, where, "n_group must divide n_routed_experts",
          pair_text(c.n_group, c.n_routed_experts));
  const int64_t reachable = c.n_routed_experts / c.n_group * c.topk_group;
  require(c.num_experts_per_tok <= reachable, where, "num_experts_per_tok must fit in topk_group groups",
          pair_text(c.num_experts_per_tok, reachable));
  require(c.topk_method == TopkMethod::kGreedy || c.router_type == RouterType::kTopk, where,
          "topk_method must be greedy where router_type is not topk", enum_text(c.topk_method));
  require(c.topk_method != TopkMethod::kGreedy || c.topk_group == c.n_group, where,
          "topk_group must equal n_group where topk_method is greedy", pair_text(c.topk_group, c.n_group),
          "group_limited_greedy and noaux_tc pick inside groups");
  require(c.router_type != RouterType::kGshard || c.num_experts_per_tok == 2, where,
          "num_experts_per_tok must be 2 where router_type is gshard", std::to_string(c.num_experts_per_tok));
}

}  // namespace

int64_t ModelConfig::moe_layers() const {
  // the multiples of moe_layer_freq in [first_k_dense_replace, num_hidden_layers)
  if (!is_moe()) return 0;
  const auto multiples_below = [&](int64_t layer) { return (layer + moe_layer_freq - 1) / moe_layer_freq; };
  return std::max<int64_t>(0, multiples_below(num_hidden_layers) - multiples_below(first_k_dense_replace));
}

void validate(const ModelConfig& config, std::string_view where) {
  in_range(where, "num_hidden_layers", config.num_hidden_layers, 1, 10000);
  validate_expert_sizes(config, where);
  const bool has_dense_layers = config.moe_layers() < config.num_hidden_layers;
  in_range(where, "intermediate_size", config.intermediate_size, has_dense_layers ? 1 : 0, kMostWidth);
  validate_sizes(config, where);
  config.is_moe() ? validate_routing(config, where) : validate_dense(config, where);
  // All parameters together must leave room for a product with 16 bytes each (optimiser state).
  const int64_t widest = std::max({config.vocab_size, config.intermediate_size, config.moe_intermediate_size});
  int64_t bound = 0;
  const bool fits =
      base::multiply(config.hidden_size, widest + config.hidden_size * 4, bound) &&
      base::multiply(bound, int64_t{3} * (config.n_routed_experts + config.n_shared_experts + 4), bound) &&
      base::multiply(bound, config.num_hidden_layers * 16, bound);
  require(fits, where, "the model's parameters cannot be counted in 64 bits",
          "hidden_size " + std::to_string(config.hidden_size) + ", width " + std::to_string(widest));
}

}  // namespace dsmoe::spec
