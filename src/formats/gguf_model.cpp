#include "formats/gguf_model.h"

#include <algorithm>

#include "base/error.h"
#include "formats/element_types.h"
#include "formats/gguf_keys.h"
#include "formats/tensor_values.h"
#include "spec/counts.h"

namespace dsmoe::formats {
namespace {

using base::fail_invalid;
using base::in_quotes;
using spec::ModelConfig;
using spec::TensorRole;

// The tensors of one FFN, or of a bank of them: gate, up and down, from sources named part by part.
template <class Sources>
void plan_ffn(std::vector<GgufTensorPlan>& all, const std::string& prefix, const std::string& suffix,
              std::vector<int64_t> wide, std::vector<int64_t> narrow, Sources&& sources) {
  for (const char* part : {"gate", "up", "down"}) {
    const bool down = std::string_view(part) == "down";
    all.push_back({prefix + "ffn_" + part + suffix + ".weight", down ? narrow : wide, TensorRole::kFfn,
                   sources(std::string(part) + "_proj")});
  }
}

void plan_mixture(std::vector<GgufTensorPlan>& all, const ModelConfig& c, int64_t layer, const std::string& prefix) {
  const std::string gate = spec::layer_prefix(layer) + "mlp.gate.";
  const int64_t D = c.hidden_size, E = c.n_routed_experts, F = c.moe_intermediate_size;
  if (c.has_router_weight()) {
    all.push_back({prefix + "ffn_gate_inp.weight", {E, D}, TensorRole::kRouter, {gate + "weight"}});
  } else {
    all.push_back({prefix + "ffn_hash_table",
                   {c.vocab_size, c.num_experts_per_tok},
                   TensorRole::kHashTable,
                   {gate + "hash_table"}});
  }
  if (c.has_router_bias()) {
    all.push_back({prefix + "exp_probs_b.bias", {E}, TensorRole::kRouterBias, {gate + "e_score_correction_bias"}});
  }
  plan_ffn(all, prefix, "_exps", {E, F, D}, {E, D, F}, [&](const std::string& part) {
    std::vector<std::string> experts;
    for (int64_t e = 0; e < E; ++e) experts.push_back(spec::expert_name(layer, e, part));
    return experts;
  });
  if (c.n_shared_experts == 0) return;
  const int64_t S = c.shared_intermediate_size();
  plan_ffn(all, prefix, "_shexp", {S, D}, {D, S},
           [&](const std::string& part) { return std::vector<std::string>{spec::shared_name(layer, part)}; });
}

void plan_layer(std::vector<GgufTensorPlan>& all, const ModelConfig& c, int64_t layer) {
  const std::string prefix = "blk." + std::to_string(layer) + ".", source = spec::layer_prefix(layer);
  const int64_t D = c.hidden_size, kv_width = c.num_key_value_heads * c.head_dim();
  const auto one = [&](const char* name, std::vector<int64_t> shape, TensorRole role, const char* from,
                       int64_t heads = 0) {
    all.push_back({prefix + name + ".weight", std::move(shape), role, {source + from + ".weight"}, heads});
  };
  one("attn_norm", {D}, TensorRole::kNorm, "input_layernorm");
  one("attn_q", {D, D}, TensorRole::kAttention, "self_attn.q_proj", c.num_attention_heads);
  one("attn_k", {kv_width, D}, TensorRole::kAttention, "self_attn.k_proj", c.num_key_value_heads);
  one("attn_v", {kv_width, D}, TensorRole::kAttention, "self_attn.v_proj");
  one("attn_output", {D, D}, TensorRole::kAttention, "self_attn.o_proj");
  one("ffn_norm", {D}, TensorRole::kNorm, "post_attention_layernorm");
  if (c.is_moe_layer(layer)) return plan_mixture(all, c, layer, prefix);
  plan_ffn(all, prefix, "", {c.intermediate_size, D}, {D, c.intermediate_size},
           [&](const std::string& part) { return std::vector<std::string>{source + "mlp." + part + ".weight"}; });
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

constexpr std::string_view kHead = "output.weight", kEmbedding = "token_embd.weight";

// A type that this tensor may have: matrices any but integers, vectors and the bias a float, tables integers.
bool allowed(TensorRole role, GgufType type) {
  const bool plain = type == GgufType::kF32 || type == GgufType::kF16 || type == GgufType::kBf16;
  if (role == TensorRole::kHashTable) return type == GgufType::kI32;
  if (role == TensorRole::kNorm || role == TensorRole::kRouterBias || role == TensorRole::kRouter) return plain;
  return type != GgufType::kI32;
}

void check(const GgufTensorPlan& wanted, const GgufTensor& found, const std::string& where) {
  if (found.shape() != wanted.shape) {
    fail_invalid(
        "gguf", "a tensor's shape differs from what the keys ask for",
        where + ", " + wanted.name + " is " + shape_text(found.shape()) + ", wanted " + shape_text(wanted.shape));
  }
  if (!allowed(wanted.role, found.type)) {
    fail_invalid("gguf", "a tensor's type is not one for its use",
                 where + ", " + wanted.name + " is " + std::string(gguf_type_info(found.type).name));
  }
}

// A float type of these files as a folder's.
Dtype float_dtype(GgufType type) {
  const auto element = element_type(type);
  const auto dtype = element ? dtype_of(*element) : std::nullopt;
  DSMOE_CHECK(dtype.has_value(), "a float type");
  return *dtype;
}

void check_values(const GgufTensorPlan& plan, GgufType type, std::span<const std::byte> bytes,
                  const ModelConfig& config, const std::string& where) {
  const std::string name = where + ", " + plan.name;
  if (plan.role == TensorRole::kHashTable) hash_table_of(bytes, config.n_routed_experts, name);
  if (selects_experts(plan.role)) check_selection(plan.role, config.n_routed_experts, float_dtype(type), bytes, name);
}

// What the frequencies of the rotary embedding are divided by: ones change nothing.
bool is_unscaled_rotation(const GgufTensor& tensor, std::span<const std::byte> bytes) {
  if (tensor.name != "rope_freqs.weight" || tensor.type != GgufType::kF32) return false;
  std::vector<float> factors(bytes.size() / sizeof(float));
  to_f32(Dtype::kF32, bytes, factors);
  return std::all_of(factors.begin(), factors.end(), [](float factor) { return factor == 1; });
}

// Adapters and parts of other models are GGUF files of the same architecture.
void check_kind(const GgufFile& file) {
  const std::string_view kind = file.text("general.type").value_or("model");
  if (kind == "model") return;
  fail_invalid("gguf", "general.type must be model", file.path().string() + ", " + in_quotes(kind),
               kind == "adapter" ? "an adapter must be merged into its model: llama-export-lora does that" : "");
}

}  // namespace

std::vector<GgufTensorPlan> gguf_tensors(const ModelConfig& config) {
  std::vector<GgufTensorPlan> all;
  const int64_t V = config.vocab_size, D = config.hidden_size;
  all.push_back({std::string(kEmbedding), {V, D}, TensorRole::kEmbedding, {"model.embed_tokens.weight"}});
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const size_t first = all.size();
    plan_layer(all, config, layer);
    for (size_t i = first; i < all.size(); ++i) all[i].layer = layer;
  }
  all.push_back({"output_norm.weight", {D}, TensorRole::kNorm, {"model.norm.weight"}});
  all.push_back({std::string(kHead), {V, D}, TensorRole::kHead, {"lm_head.weight"}});
  return all;
}

GgufModel GgufModel::open(const base::fs::path& path) {
  GgufModel model;
  model.file_ = std::make_unique<GgufFile>(path);
  check_kind(*model.file_);
  const GgufTensor* embedding = model.file_->find_tensor(kEmbedding);
  if (embedding == nullptr) {
    fail_invalid("gguf", "a model has token_embd.weight", path.string(), "this file may hold a vocabulary alone");
  }
  model.config_ = config_from_gguf(*model.file_, model.arch_, embedding->shape()[0]);
  model.bind();
  return model;
}

void GgufModel::bind() {
  const std::string where = file_->path().string();
  spec::require_room(config_, file_->size(), "gguf", where);
  const std::vector<GgufTensorPlan> plans = gguf_tensors(config_);
  std::map<std::string_view, const GgufTensorPlan*> known;
  for (const GgufTensorPlan& plan : plans) known.emplace(plan.name, &plan);
  judge_no_others(known);
  for (const GgufTensorPlan& plan : plans) {
    const GgufTensor* found = file_->find_tensor(plan.name);
    if (found == nullptr && plan.name == kHead) found = file_->find_tensor(kEmbedding);  // tied
    if (found == nullptr) fail_invalid("gguf", "a tensor is missing", where + ", " + plan.name);
    check(plan, *found, where);
    const std::span<const std::byte> bytes = file_->bytes(*found);
    check_values(plan, found->type, bytes, config_, where);
    const size_t slice = bytes.size() / plan.sources.size();
    std::vector<int64_t> shape = plan.shape;
    if (plan.sources.size() > 1 || shape.size() > 2) shape.erase(shape.begin());
    for (size_t i = 0; i < plan.sources.size(); ++i) {
      views_.emplace(plan.sources[i],
                     View{found->type, shape, bytes.subspan(i * slice, slice), plan.interleaved_heads});
    }
  }
}

void GgufModel::judge_no_others(const std::map<std::string_view, const GgufTensorPlan*>& known) const {
  for (const GgufTensor& tensor : file_->tensors()) {
    if (known.count(tensor.name) > 0 || is_unscaled_rotation(tensor, file_->bytes(tensor))) continue;
    const bool bias = tensor.name.size() > 5 && tensor.name.substr(tensor.name.size() - 5) == ".bias";
    const bool scaled = tensor.name.find("rope_") != tensor.name.npos;
    fail_invalid("gguf", "a tensor does not belong to the model that the keys describe",
                 file_->path().string() + ", " + in_quotes(tensor.name),
                 bias     ? "dsmoe computes projections without biases"
                 : scaled ? "dsmoe does not compute scaled rotary embeddings"
                          : "");
  }
}

GgufModel::View GgufModel::tensor(const std::string& name) const {
  const auto found = views_.find(name);
  DSMOE_CHECK(found != views_.end(), "a tensor of the spec: " + name);
  return found->second;
}

}  // namespace dsmoe::formats
