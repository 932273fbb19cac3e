#include "engine/weights.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "spec/tensors.h"

namespace dsmoe::engine {

/// Where tensors come from. Bytes live as long as the source.
class Weights::Source {
 public:
  virtual ~Source() = default;
  virtual data::TensorView tensor(const std::string& name) const = 0;
  virtual std::vector<int32_t> hash_table(const std::string& name) const = 0;
};

class Weights::FolderSource : public Weights::Source {
 public:
  explicit FolderSource(data::ModelFolder folder) : folder_(std::move(folder)) {}
  data::TensorView tensor(const std::string& name) const override { return folder_.tensor(name); }
  std::vector<int32_t> hash_table(const std::string& name) const override { return folder_.read_hash_table(name); }

 private:
  data::ModelFolder folder_;
};

class Weights::MemorySource : public Weights::Source {
 public:
  MemorySource(const spec::ModelConfig& config, FloatTensors tensors) : config_(config), tensors_(std::move(tensors)) {
    size_t known = 0;
    spec::for_each_tensor(config, [&](const spec::TensorSpec& wanted) {
      const auto found = tensors_.find(wanted.name);
      if (found == tensors_.end()) base::fail_invalid("weights", "a tensor is missing", wanted.name);
      if (found->second.shape != wanted.shape || static_cast<int64_t>(found->second.values.size()) != wanted.numel()) {
        base::fail_invalid("weights", "a tensor has the wrong shape", wanted.name);
      }
      ++known;
    });
    if (known != tensors_.size()) {
      base::fail_invalid("weights", "there are tensors that the model does not have",
                         std::to_string(tensors_.size() - known));
    }
  }
  data::TensorView tensor(const std::string& name) const override {
    const FloatTensor& found = tensors_.at(name);
    return {data::Dtype::kF32, found.shape, std::as_bytes(std::span(found.values))};
  }
  std::vector<int32_t> hash_table(const std::string& name) const override {
    std::vector<int32_t> ids;
    for (const float value : tensors_.at(name).values) {
      if (!(value >= 0 && value < static_cast<float>(config_.n_routed_experts)) || value != std::floor(value)) {
        base::fail_invalid("weights", "a hash table holds expert ids", name + " has " + std::to_string(value));
      }
      ids.push_back(static_cast<int32_t>(value));
    }
    return ids;
  }

 private:
  spec::ModelConfig config_;
  FloatTensors tensors_;
};

Weights Weights::from_folder(data::ModelFolder folder) {
  Weights weights;
  weights.config_ = folder.config();
  const auto source = std::make_shared<FolderSource>(std::move(folder));
  weights.source_ = source;
  weights.bind(*source);
  return weights;
}

Weights Weights::from_tensors(const spec::ModelConfig& config, FloatTensors tensors) {
  spec::validate(config);
  Weights weights;
  weights.config_ = config;
  const auto source = std::make_shared<MemorySource>(config, std::move(tensors));
  weights.source_ = source;
  weights.bind(*source);
  return weights;
}

kernels::Matrix Weights::own(std::vector<float> values, int64_t rows, int64_t cols) {
  copies_.push_back(std::move(values));  // the vector's memory does not move when copies_ grows
  return {kernels::WeightType::kF32, copies_.back().data(), rows, cols};
}

kernels::Matrix Weights::matrix(const data::TensorView& tensor) {
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  const auto address = reinterpret_cast<uintptr_t>(tensor.bytes.data());
  if (tensor.dtype == data::Dtype::kF32 && address % alignof(float) == 0) {
    return {kernels::WeightType::kF32, tensor.bytes.data(), rows, cols};
  }
  if (tensor.dtype == data::Dtype::kBf16 && address % alignof(uint16_t) == 0) {
    return {kernels::WeightType::kBf16, tensor.bytes.data(), rows, cols};
  }
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  data::to_f32(tensor.dtype, tensor.bytes, values);
  return own(std::move(values), rows, cols);
}

namespace {

std::vector<float> as_floats(const data::TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  data::to_f32(tensor.dtype, tensor.bytes, values);
  return values;
}

}  // namespace

void Weights::bind(const Source& source) {
  embedding_ = matrix(source.tensor("model.embed_tokens.weight"));
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const std::string prefix = spec::layer_prefix(layer);
    LayerWeights weights;
    weights.attention_norm = as_floats(source.tensor(prefix + "input_layernorm.weight"));
    weights.q = matrix(source.tensor(prefix + "self_attn.q_proj.weight"));
    weights.k = matrix(source.tensor(prefix + "self_attn.k_proj.weight"));
    weights.v = matrix(source.tensor(prefix + "self_attn.v_proj.weight"));
    weights.o = matrix(source.tensor(prefix + "self_attn.o_proj.weight"));
    weights.ffn_norm = as_floats(source.tensor(prefix + "post_attention_layernorm.weight"));
    weights.is_moe = config_.is_moe_layer(layer);
    if (weights.is_moe) {
      bind_mixture(source, layer, weights);
    } else {
      const auto part = [&](const char* name) { return matrix(source.tensor(prefix + "mlp." + name + ".weight")); };
      weights.dense = {part("gate_proj"), part("up_proj"), part("down_proj")};
    }
    layers_.push_back(std::move(weights));
  }
  final_norm_ = as_floats(source.tensor("model.norm.weight"));
  head_ = matrix(source.tensor("lm_head.weight"));
}

void Weights::bind_mixture(const Source& source, int64_t layer, LayerWeights& weights) {
  const std::string gate = spec::layer_prefix(layer) + "mlp.gate.";
  if (config_.has_router_weight()) {
    weights.router = own(as_floats(source.tensor(gate + "weight")), config_.n_routed_experts, config_.hidden_size);
  } else {
    weights.hash_table = source.hash_table(gate + "hash_table");
  }
  if (config_.has_router_bias()) weights.router_bias = as_floats(source.tensor(gate + "e_score_correction_bias"));
  for (int64_t e = 0; e < config_.n_routed_experts; ++e) {
    const auto part = [&](const char* name) { return matrix(source.tensor(spec::expert_name(layer, e, name))); };
    weights.experts.push_back({part("gate_proj"), part("up_proj"), part("down_proj")});
  }
  if (config_.n_shared_experts > 0) {
    const auto part = [&](const char* name) { return matrix(source.tensor(spec::shared_name(layer, name))); };
    weights.shared = {part("gate_proj"), part("up_proj"), part("down_proj")};
  }
}

}  // namespace dsmoe::engine
