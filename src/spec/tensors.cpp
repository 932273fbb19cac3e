#include "spec/tensors.h"

#include <functional>
#include <numeric>

namespace dsmoe::spec {

int64_t TensorSpec::numel() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string layer_prefix(int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }

std::string expert_name(int64_t layer, int64_t expert, const std::string& part) {
  return layer_prefix(layer) + "mlp.experts." + std::to_string(expert) + "." + part + ".weight";
}

std::string shared_name(int64_t layer, const std::string& part) {
  return layer_prefix(layer) + "mlp.shared_experts." + part + ".weight";
}

namespace {

using Visit = std::function<void(const TensorSpec&)>;

void visit_ffn(const std::function<std::string(const std::string&)>& name, int64_t hidden, int64_t width,
               const Visit& visit) {
  visit({name("gate_proj"), {width, hidden}, TensorRole::kFfn});
  visit({name("up_proj"), {width, hidden}, TensorRole::kFfn});
  visit({name("down_proj"), {hidden, width}, TensorRole::kFfn});
}

void visit_moe(const ModelConfig& c, int64_t layer, const Visit& visit) {
  const std::string gate = layer_prefix(layer) + "mlp.gate.";
  if (c.has_router_weight()) {
    visit({gate + "weight", {c.n_routed_experts, c.hidden_size}, TensorRole::kRouter});
  } else {
    visit({gate + "hash_table", {c.vocab_size, c.num_experts_per_tok}, TensorRole::kHashTable});
  }
  if (c.has_router_bias()) {
    visit({gate + "e_score_correction_bias", {c.n_routed_experts}, TensorRole::kRouterBias});
  }
  for (int64_t e = 0; e < c.n_routed_experts; ++e) {
    visit_ffn([&](const std::string& part) { return expert_name(layer, e, part); }, c.hidden_size,
              c.moe_intermediate_size, visit);
  }
  if (c.n_shared_experts > 0) {
    visit_ffn([&](const std::string& part) { return shared_name(layer, part); }, c.hidden_size,
              c.shared_intermediate_size(), visit);
  }
}

void visit_layer(const ModelConfig& c, int64_t layer, const Visit& visit) {
  const std::string prefix = layer_prefix(layer);
  const int64_t kv_width = c.num_key_value_heads * c.head_dim();
  visit({prefix + "input_layernorm.weight", {c.hidden_size}, TensorRole::kNorm});
  visit({prefix + "self_attn.q_proj.weight", {c.hidden_size, c.hidden_size}, TensorRole::kAttention});
  visit({prefix + "self_attn.k_proj.weight", {kv_width, c.hidden_size}, TensorRole::kAttention});
  visit({prefix + "self_attn.v_proj.weight", {kv_width, c.hidden_size}, TensorRole::kAttention});
  visit({prefix + "self_attn.o_proj.weight", {c.hidden_size, c.hidden_size}, TensorRole::kAttention});
  visit({prefix + "post_attention_layernorm.weight", {c.hidden_size}, TensorRole::kNorm});
  if (c.is_moe_layer(layer)) return visit_moe(c, layer, visit);
  visit_ffn([&](const std::string& part) { return prefix + "mlp." + part + ".weight"; }, c.hidden_size,
            c.intermediate_size, visit);
}

}  // namespace

void for_each_tensor(const ModelConfig& c, const Visit& visit) {
  visit({"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}, TensorRole::kEmbedding});
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) visit_layer(c, layer, visit);
  visit({"model.norm.weight", {c.hidden_size}, TensorRole::kNorm});
  visit({"lm_head.weight", {c.vocab_size, c.hidden_size}, TensorRole::kHead});
}

std::vector<TensorSpec> tensors_of(const ModelConfig& config) {
  std::vector<TensorSpec> all;
  for_each_tensor(config, [&](const TensorSpec& tensor) { all.push_back(tensor); });
  return all;
}

}  // namespace dsmoe::spec
