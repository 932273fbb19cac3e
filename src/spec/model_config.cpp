#include "spec/model_config.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"

namespace dsmoe::spec {
namespace {

using base::fail_invalid;

void require(bool holds, std::string_view where, const std::string& rule, const std::string& found,
             std::string_view hint = {}) {
  if (!holds) fail_invalid(where, rule, found, hint);
}

void in_range(std::string_view where, const char* name, int64_t value, int64_t least, int64_t most) {
  require(value >= least && value <= most, where,
          std::string(name) + " must be from " + std::to_string(least) + " to " + std::to_string(most),
          std::to_string(value));
}

std::string ratio(int64_t a, int64_t b) { return std::to_string(a) + " and " + std::to_string(b); }

void validate_sizes(const ModelConfig& c, std::string_view where) {
  in_range(where, "vocab_size", c.vocab_size, 1, 1 << 24);
  in_range(where, "hidden_size", c.hidden_size, 1, 1 << 20);
  in_range(where, "num_hidden_layers", c.num_hidden_layers, 1, 10000);
  in_range(where, "num_attention_heads", c.num_attention_heads, 1, 1 << 16);
  in_range(where, "num_key_value_heads", c.num_key_value_heads, 1, 1 << 16);
  in_range(where, "intermediate_size", c.intermediate_size, c.moe_layers() < c.num_hidden_layers ? 1 : 0, 1 << 24);
  in_range(where, "max_position_embeddings", c.max_position_embeddings, 1, 1 << 24);
  in_range(where, "bos_token_id", c.bos_token_id, 0, c.vocab_size - 1);
  in_range(where, "eos_token_id", c.eos_token_id, 0, c.vocab_size - 1);
  require(c.hidden_size % c.num_attention_heads == 0, where, "num_attention_heads must divide hidden_size",
          ratio(c.num_attention_heads, c.hidden_size));
  require(c.head_dim() % 2 == 0, where, "the head size must be even for rotary embeddings",
          std::to_string(c.head_dim()));
  require(c.num_attention_heads % c.num_key_value_heads == 0, where,
          "num_key_value_heads must divide num_attention_heads", ratio(c.num_key_value_heads, c.num_attention_heads));
  require(c.rms_norm_eps > 0 && c.rms_norm_eps < 1, where, "rms_norm_eps must lie between 0 and 1",
          std::to_string(c.rms_norm_eps));
  require(c.rope_theta > 0 && c.rope_theta < 1e12, where, "rope_theta must be positive", std::to_string(c.rope_theta));
  require(c.initializer_range >= 0 && c.initializer_range < 10, where, "initializer_range must be from 0 to 10",
          std::to_string(c.initializer_range));
}

void validate_experts(const ModelConfig& c, std::string_view where) {
  in_range(where, "n_routed_experts", c.n_routed_experts, 1, 1 << 16);
  in_range(where, "n_shared_experts", c.n_shared_experts, 0, 1 << 16);
  in_range(where, "moe_intermediate_size", c.moe_intermediate_size, 1, 1 << 24);
  in_range(where, "first_k_dense_replace", c.first_k_dense_replace, 0, c.num_hidden_layers);
  require(c.num_experts_per_tok >= 1 && c.num_experts_per_tok <= c.n_routed_experts, where,
          "num_experts_per_tok must be from 1 to n_routed_experts", ratio(c.num_experts_per_tok, c.n_routed_experts),
          "a token cannot visit more experts than there are");
  require(c.n_group >= 1 && c.n_routed_experts % c.n_group == 0, where, "n_group must divide n_routed_experts",
          ratio(c.n_group, c.n_routed_experts));
  in_range(where, "topk_group", c.topk_group, 1, c.n_group);
  require(c.num_experts_per_tok <= c.n_routed_experts / c.n_group * c.topk_group, where,
          "num_experts_per_tok must fit in topk_group groups",
          ratio(c.num_experts_per_tok, c.n_routed_experts / c.n_group * c.topk_group));
  require(c.routed_scaling_factor > 0 && c.routed_scaling_factor < 1e6, where, "routed_scaling_factor must be positive",
          std::to_string(c.routed_scaling_factor));
  const bool plain = c.topk_method == TopkMethod::kGreedy;
  require(plain || c.router_type == RouterType::kTopk, where, "only router_type topk knows a topk_method other than",
          "greedy");
  require(c.router_type != RouterType::kGshard || c.num_experts_per_tok == 2, where,
          "router_type gshard picks two experts", std::to_string(c.num_experts_per_tok));
}

}  // namespace

int64_t ModelConfig::moe_layers() const {
  int64_t count = 0;
  for (int64_t layer = 0; is_moe() && layer < num_hidden_layers; ++layer) count += is_moe_layer(layer);
  return count;
}

void validate(const ModelConfig& config, std::string_view where) {
  in_range(where, "moe_layer_freq", config.moe_layer_freq, 1, 10000);
  in_range(where, "num_hidden_layers", config.num_hidden_layers, 1, 10000);
  in_range(where, "n_routed_experts", config.n_routed_experts, 0, 1 << 16);
  validate_sizes(config, where);
  if (config.is_moe()) validate_experts(config, where);
  // All parameters together must leave room for a product with 16 bytes each (optimiser state).
  const int64_t widest = std::max(config.vocab_size, std::max(config.intermediate_size, config.moe_intermediate_size));
  int64_t bound = 0;
  const bool fits =
      base::multiply(config.hidden_size, widest + config.hidden_size * 4, bound) &&
      base::multiply(bound, int64_t{3} * (config.n_routed_experts + config.n_shared_experts + 4), bound) &&
      base::multiply(bound, config.num_hidden_layers * 16, bound);
  require(fits, where, "the model's parameters cannot be counted in 64 bits",
          "hidden_size " + std::to_string(config.hidden_size) + ", width " + std::to_string(widest));
}

}  // namespace dsmoe::spec
