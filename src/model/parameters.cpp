#include "model/parameters.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "model/base_file.h"
#include "moe/partly_trained.h"
#include "moe/placement.h"

namespace dsmoe::model {

using spec::TensorRole;

ParameterStore::ParameterStore(const spec::ModelConfig& config, const TransformerOptions& options)
    : config_(config), options_(options) {
  embedding_ = add_named("model.embed_tokens.weight", {config.vocab_size, config.hidden_size}, TensorRole::kEmbedding);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) layers_.push_back(add_layer(layer));
  norm_ = add_named("model.norm.weight", {config.hidden_size}, TensorRole::kNorm);
  head_ = add_named("lm_head.weight", {config.vocab_size, config.hidden_size}, TensorRole::kHead);
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    const auto found = views_.find(tensor.name);
    DSMOE_CHECK(found != views_.end(), "no storage for " + tensor.name);
    const auto placed = ranks_.find(tensor.name);
    const int rank = placed == ranks_.end() ? 0 : placed->second;
    DSMOE_CHECK(found->second.defined() ? found->second.sizes() == tensor.shape : rank != options_.expert_ranks.rank(),
                "no storage for " + tensor.name);
    tensors_.push_back({tensor, found->second, rank});
  });
  DSMOE_CHECK(tensors_.size() == views_.size(), "storage for a tensor the specification does not know");
  DSMOE_CHECK(!frozen() || options_.expert_ranks.alone(), "experts that are spread over ranks all train");
  if (options_.base) read_base();
  if (adapted()) stand_beside_masters();
  if (frozen() && !adapted() && !options_.base) train_experts();
}

const std::vector<Parameter>& ParameterStore::parameters() const {
  if (adapted()) return adapters_.parameters();
  return frozen() ? experts_ : parameters_;
}

bool ParameterStore::in_file(TensorRole role) const {
  return options_.base && role != TensorRole::kNorm && role != TensorRole::kRouter;
}

void ParameterStore::read_base() {
  const BaseFile file(options_.base, config_, options_.master);
  packed_memory_ = file.memory();
  for (Parameter& master : parameters_) {
    if (in_file(master.role)) master.weight = file.weight(master.value, places_);
  }
  for (const NamedTensor& tensor : tensors_) {
    if (!tensor.value.is_meta()) file.read(tensor);
  }
}

void ParameterStore::stand_beside_masters() {
  adapters_ = AdapterStore(options_.adapters, config_, places_, packed_memory_);
  for (Parameter& master : parameters_) {
    std::vector<moe::AdapterPart> parts = adapters_.parts_of(master.value);
    if (!parts.empty()) master.weight = moe::adapted_weight(master.weight, std::move(parts));
  }
}

void ParameterStore::train_experts() {
  std::map<int64_t, std::vector<int64_t>> by_layer;
  for (const spec::RoutedExpert& e : spec::routed_experts(config_, options_.adapters.targets, "model")) {
    by_layer[e.layer].push_back(e.expert);
  }
  for (const auto& [layer, experts] : by_layer) {
    const FfnMasters& routed = layers_[static_cast<size_t>(layer)].routed;
    train_in(routed.gate_up, layer, experts);
    train_in(routed.down, layer, experts);
  }
}

void ParameterStore::train_in(const Tensor& master, int64_t layer, const std::vector<int64_t>& experts) {
  const auto found = std::ranges::find_if(parameters_, [&](const Parameter& p) { return p.value.is_same(master); });
  const std::string stack = spec::layer_prefix(layer) + "mlp.experts.", part = found->name.substr(stack.size());
  const auto weight = std::make_shared<moe::PartlyTrained>(master, experts);
  for (size_t i = 0; i < experts.size(); ++i) {
    experts_.push_back({stack + std::to_string(experts[i]) + "." + part, weight->leaves()[i], found->role, nullptr});
  }
  found->weight = weight;
}

Tensor ParameterStore::add(const std::string& name, const std::vector<int64_t>& sizes, TensorRole role) {
  const auto options = torch::dtype(options_.master).device(in_file(role) ? torch::kMeta : torch::kCPU);
  Tensor value = role == TensorRole::kNorm ? torch::ones(sizes, options) : torch::zeros(sizes, options);
  if (!frozen()) value.requires_grad_();
  parameters_.push_back({name, value, role, frozen() ? moe::frozen_weight(value) : moe::trainable_weight(value)});
  return value;
}

moe::WeightPtr ParameterStore::weight(const Tensor& master) const {
  for (const Parameter& parameter : parameters_) {
    if (parameter.value.is_same(master)) return parameter.weight;
  }
  DSMOE_CHECK(!master.defined(), "a master of this store");
  return nullptr;
}

Tensor ParameterStore::add_named(const std::string& name, const std::vector<int64_t>& sizes, TensorRole role) {
  Tensor value = add(name, sizes, role);
  views_[name] = value.detach();
  places_[name] = {value};
  return value;
}

/// Some rows of a matrix from its place on, under a name of their own. detach() shares memory and version
/// counter, so writing through the view is seen by whoever keeps a copy of the master.
void ParameterStore::view(const std::string& name, const MatrixPlace& place, int64_t rows) {
  const Tensor master = place.master.detach();
  views_[name] = (place.expert < 0 ? master : master[place.expert]).narrow(0, place.first_row, rows);
  places_[name] = place;
}

/// Of an FFN, or of an expert of a stack.
void ParameterStore::name_parts(const std::string& owner, const FfnMasters& ffn, int64_t width, int64_t expert) {
  view(owner + "gate_proj.weight", {ffn.gate_up, 0, expert}, width);
  view(owner + "up_proj.weight", {ffn.gate_up, width, expert}, width);
  view(owner + "down_proj.weight", {ffn.down, 0, expert}, config_.hidden_size);
}

FfnMasters ParameterStore::add_ffn(const std::string& prefix, int64_t width) {
  const int64_t hidden = config_.hidden_size;
  FfnMasters ffn{add(prefix + "gate_up_proj.weight", {2 * width, hidden}, TensorRole::kFfn),
                 add(prefix + "down_proj.weight", {hidden, width}, TensorRole::kFfn)};
  name_parts(prefix, ffn, width, -1);
  return ffn;
}

FfnMasters ParameterStore::add_experts(const std::string& prefix) {
  const int64_t width = config_.moe_intermediate_size, hidden = config_.hidden_size;
  const moe::Placement placement(config_.n_routed_experts, options_.expert_ranks);
  const comm::Stretch own = placement.own();
  FfnMasters stack{add(prefix + "gate_up_proj.weight", {own.size(), 2 * width, hidden}, TensorRole::kFfn),
                   add(prefix + "down_proj.weight", {own.size(), hidden, width}, TensorRole::kFfn)};
  if (!placement.group().alone()) {
    for (size_t i = parameters_.size() - 2; i < parameters_.size(); ++i) parameters_[i].experts = placement.experts();
  }
  for (int64_t e = 0; e < placement.experts(); ++e) {
    const std::string owner = prefix + std::to_string(e) + ".";
    const int rank = placement.rank_of(e);
    const bool here = rank == placement.group().rank();
    if (here) name_parts(owner, stack, width, e - own.begin);
    for (const char* part : {"gate_proj.weight", "up_proj.weight", "down_proj.weight"}) {
      if (!here) views_[owner + part] = Tensor();
      ranks_[owner + part] = rank;
    }
  }
  return stack;
}

Tensor ParameterStore::on_first_rank(const NamedTensor& tensor) const {
  const comm::Group& ranks = options_.expert_ranks;
  if (tensor.rank == 0) return tensor.value;
  const std::vector<int64_t>& shape = tensor.spec.shape;
  const int64_t count = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  std::vector<comm::Stretch> shares(static_cast<size_t>(ranks.size()));
  shares[static_cast<size_t>(tensor.rank)] = {0, count};
  const Tensor value = tensor.value.defined() ? tensor.value : torch::empty(shape, options_.master);
  DSMOE_CHECK(value.is_contiguous(), "the rows of a matrix stand together");
  const auto gather = [&](auto* values) {
    ranks.gather(comm::Pieces(std::span(values, static_cast<size_t>(count))), shares);
  };
  options_.master == torch::kDouble ? gather(value.data_ptr<double>()) : gather(value.data_ptr<float>());
  return value;
}

LayerMasters ParameterStore::add_layer(int64_t layer) {
  const std::string prefix = spec::layer_prefix(layer), attention = prefix + "self_attn.";
  const int64_t hidden = config_.hidden_size, kv_width = config_.num_key_value_heads * config_.head_dim();
  LayerMasters masters;
  masters.input_norm = add_named(prefix + "input_layernorm.weight", {hidden}, TensorRole::kNorm);
  masters.qkv = add(attention + "qkv_proj.weight", {hidden + 2 * kv_width, hidden}, TensorRole::kAttention);
  view(attention + "q_proj.weight", {masters.qkv, 0}, hidden);
  view(attention + "k_proj.weight", {masters.qkv, hidden}, kv_width);
  view(attention + "v_proj.weight", {masters.qkv, hidden + kv_width}, kv_width);
  masters.out = add_named(attention + "o_proj.weight", {hidden, hidden}, TensorRole::kAttention);
  masters.post_norm = add_named(prefix + "post_attention_layernorm.weight", {hidden}, TensorRole::kNorm);
  if (config_.is_moe_layer(layer)) {
    add_moe(layer, masters);
  } else {
    masters.dense = add_ffn(prefix + "mlp.", config_.intermediate_size);
  }
  return masters;
}

void ParameterStore::add_moe(int64_t layer, LayerMasters& masters) {
  const std::string mlp = spec::layer_prefix(layer) + "mlp.";
  const int64_t experts = config_.n_routed_experts;
  if (config_.has_router_weight()) {
    masters.router = add_named(mlp + "gate.weight", {experts, config_.hidden_size}, TensorRole::kRouter);
  } else {
    masters.hash_table = torch::zeros({config_.vocab_size, config_.num_experts_per_tok}, torch::kInt32);
    views_[mlp + "gate.hash_table"] = masters.hash_table;
  }
  if (config_.has_router_bias()) {
    masters.bias = torch::zeros({experts}, torch::dtype(options_.master));
    views_[mlp + "gate.e_score_correction_bias"] = masters.bias;
  }
  masters.routed = add_experts(mlp + "experts.");
  if (config_.n_shared_experts > 0) {
    masters.shared = add_ffn(mlp + "shared_experts.", config_.shared_intermediate_size());
  }
}

}  // namespace dsmoe::model
