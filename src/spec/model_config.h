// What a model is: the numbers of config.json, under config.json's names.
//
// One struct covers DeepSeekMoE, its rivals and dense models (paper sections 2-4, docs/papers.md for symbols). A model
// without routed experts is dense; the paper's dense rivals, a bank of n shared experts without a router, are exactly a
// dense FFN of n times the width, and are kept in that form.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace dsmoe::spec {

/// How tokens find experts. kTopk covers DeepSeekMoE, Switch (K = 1) and GShard in the paper's reading (K = 2).
enum class RouterType { kTopk, kHash, kHashBalanced, kGshard };
/// What turns router logits into affinities.
enum class ScoringFunc { kSoftmax, kSigmoid };
/// How the K experts are picked from affinities: the best K; the best K inside the best groups (DeepSeek-V2);
/// the best K after adding the balance bias, inside the best groups where there are several (DeepSeek-V3).
enum class TopkMethod { kGreedy, kGroupLimitedGreedy, kNoauxTc };

// The names in files, in the order of the values (enum_names.h).
constexpr std::array<std::string_view, 4> enum_names(RouterType) { return {"topk", "hash", "hash_balanced", "gshard"}; }
constexpr std::array<std::string_view, 2> enum_names(ScoringFunc) { return {"softmax", "sigmoid"}; }
constexpr std::array<std::string_view, 3> enum_names(TopkMethod) {
  return {"greedy", "group_limited_greedy", "noaux_tc"};
}

struct ModelConfig {
  int64_t vocab_size = 8192;
  int64_t hidden_size = 256;
  int64_t num_hidden_layers = 6;
  int64_t num_attention_heads = 4;
  int64_t num_key_value_heads = 4;
  int64_t intermediate_size = 768;
  int64_t max_position_embeddings = 512;

  int64_t n_routed_experts = 0;  ///< 0: a dense model
  int64_t n_shared_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t moe_intermediate_size = 0;
  int64_t first_k_dense_replace = 0;
  int64_t moe_layer_freq = 1;

  RouterType router_type = RouterType::kTopk;
  ScoringFunc scoring_func = ScoringFunc::kSoftmax;
  TopkMethod topk_method = TopkMethod::kGreedy;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  bool norm_topk_prob = false;
  double routed_scaling_factor = 1.0;

  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  double initializer_range = 0.006;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 1;

  int64_t head_dim() const { return hidden_size / num_attention_heads; }
  bool is_moe() const { return n_routed_experts > 0; }
  /// Layer l has an MoE layer iff l >= first_k_dense_replace and l is a multiple of moe_layer_freq.
  bool is_moe_layer(int64_t layer) const {
    return is_moe() && layer >= first_k_dense_replace && layer % moe_layer_freq == 0;
  }
  int64_t moe_layers() const;
  int64_t shared_intermediate_size() const { return n_shared_experts * moe_intermediate_size; }
  bool has_router_weight() const { return router_type == RouterType::kTopk || router_type == RouterType::kGshard; }
  /// True when selection adds a per-expert bias that is a tensor of the model (loss-free balancing).
  bool has_router_bias() const { return topk_method == TopkMethod::kNoauxTc; }

  /// How picked gates are finished, one rule for both halves. The denominator has gate_epsilon() added. One expert is
  /// never normalised: its gate would always be 1. Hash gates are 1 as they are.
  bool normalizes_gates() const {
    return router_type == RouterType::kGshard ||
           (router_type == RouterType::kTopk && norm_topk_prob && num_experts_per_tok > 1);
  }
  double gate_epsilon() const { return router_type == RouterType::kGshard ? 1e-9 : 1e-20; }
  /// DeepSeek-V2's code multiplies by routed_scaling_factor only where it does not normalise; DeepSeek-V3's (sigmoid
  /// affinities, bias-corrected selection) normalises and then multiplies (docs/papers.md).
  bool scales_gates() const {
    const bool as_v3 = scoring_func == ScoringFunc::kSigmoid || topk_method == TopkMethod::kNoauxTc;
    return router_type == RouterType::kTopk && (as_v3 || !normalizes_gates());
  }

  bool operator==(const ModelConfig&) const = default;
};

/// Throws Error(kInvalid) naming the first impossible shape: K above E, heads not dividing D, groups not dividing E,
/// sizes out of range. Products of sizes are checked here once, so code inside may multiply freely.
void validate(const ModelConfig& config, std::string_view where = "model");

/// The fields once: name, member, what it is. Reading, writing, command line, help and equality use this list.
template <class Config, class Visit>
void visit_model_fields(Config& c, Visit&& visit) {
  visit("vocab_size", c.vocab_size, "rows of the embedding and of the head");
  visit("hidden_size", c.hidden_size, "width of the residual stream");
  visit("num_hidden_layers", c.num_hidden_layers, "blocks");
  visit("num_attention_heads", c.num_attention_heads, "query heads; they divide hidden_size into even head sizes");
  visit("num_key_value_heads", c.num_key_value_heads, "key/value heads; they divide num_attention_heads");
  visit("intermediate_size", c.intermediate_size, "width of a dense FFN");
  visit("max_position_embeddings", c.max_position_embeddings, "longest sequence");
  visit("n_routed_experts", c.n_routed_experts, "experts a router picks from; 0 makes the model dense");
  visit("n_shared_experts", c.n_shared_experts, "experts every token visits");
  visit("num_experts_per_tok", c.num_experts_per_tok, "routed experts a token visits");
  visit("moe_intermediate_size", c.moe_intermediate_size, "width of one expert");
  visit("first_k_dense_replace", c.first_k_dense_replace, "leading blocks with a dense FFN");
  visit("moe_layer_freq", c.moe_layer_freq, "every n-th block has the mixture layer");
  visit("router_type", c.router_type, "topk, hash, hash_balanced, or gshard (the original: gates renormalised)");
  visit("scoring_func", c.scoring_func, "softmax or sigmoid");
  visit("topk_method", c.topk_method, "greedy, group_limited_greedy, or noaux_tc (bias-corrected selection)");
  visit("n_group", c.n_group, "groups the routed experts are divided into");
  visit("topk_group", c.topk_group, "groups a token may pick from");
  visit("norm_topk_prob", c.norm_topk_prob, "divide the picked gates by their sum");
  visit("routed_scaling_factor", c.routed_scaling_factor, "multiplies the picked gates");
  visit("rms_norm_eps", c.rms_norm_eps, "added to the mean square");
  visit("rope_theta", c.rope_theta, "base of the rotary angles");
  visit("initializer_range", c.initializer_range, "standard deviation of the initial weights");
  visit("bos_token_id", c.bos_token_id, "token that begins a document");
  visit("eos_token_id", c.eos_token_id, "token that ends a document");
}

}  // namespace dsmoe::spec
