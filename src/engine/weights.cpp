#include "engine/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "base/bits.h"
#include "base/error.h"
#include "base/memory.h"
#include "formats/element_types.h"
#include "kernels/element_types.h"
#include "kernels/product.h"
#include "spec/tensors.h"

namespace dsmoe::engine {

namespace {

constexpr size_t kLine = 64;

bool aligned(std::span<const std::byte> bytes, size_t alignment) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % alignment == 0;
}

std::optional<kernels::WeightType> weight_type(formats::Dtype dtype) {
  const auto type = formats::element_type(dtype);
  return type ? std::optional(kernels::weight_type(*type)) : std::nullopt;
}

base::ElementType weight_element(const formats::GgufModel::View& view) {
  const auto type = formats::element_type(view.type);
  DSMOE_CHECK(type.has_value(), "the tensor holds weights");
  return *type;
}

// Floats wherever they lie.
std::vector<float> floats_of(formats::Dtype dtype, std::span<const std::byte> bytes,
                             const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  std::vector<float> values(static_cast<size_t>(count));
  formats::to_f32(dtype, bytes, values);
  return values;
}

}  // namespace

/// Where tensors come from. Bytes live as long as the source.
class Weights::Source {
 public:
  virtual ~Source() = default;
  /// The stored matrix, or nothing where the kernels cannot read it where it lies.
  virtual std::optional<kernels::Matrix> matrix(const std::string& name) const = 0;
  virtual std::vector<float> floats(const std::string& name) const = 0;
  virtual std::pair<int64_t, int64_t> rows_and_cols(const std::string& name) const = 0;
  virtual std::vector<int32_t> hash_table(const std::string& name) const = 0;
  virtual bool pairs_neighbours() const { return false; }
};

class Weights::FolderSource : public Weights::Source {
 public:
  explicit FolderSource(formats::ModelFolder folder) : folder_(std::move(folder)) {}
  std::optional<kernels::Matrix> matrix(const std::string& name) const override {
    const formats::TensorView view = folder_.tensor(name);
    const auto type = weight_type(view.dtype);
    if (!type || !aligned(view.bytes, formats::bits_of(view.dtype) / 8)) return std::nullopt;
    return kernels::Matrix{*type, view.bytes.data(), view.shape[0], view.shape[1]};
  }
  std::vector<float> floats(const std::string& name) const override { return folder_.read_f32(name); }
  std::pair<int64_t, int64_t> rows_and_cols(const std::string& name) const override {
    const formats::TensorView view = folder_.tensor(name);
    return {view.shape[0], view.shape[1]};
  }
  std::vector<int32_t> hash_table(const std::string& name) const override { return folder_.read_hash_table(name); }

 private:
  formats::ModelFolder folder_;
};

class Weights::GgufSource : public Weights::Source {
 public:
  explicit GgufSource(formats::GgufModel model) : model_(std::move(model)) {}
  std::optional<kernels::Matrix> matrix(const std::string& name) const override {
    const formats::GgufModel::View view = model_.tensor(name);
    const kernels::WeightType type = kernels::weight_type(weight_element(view));
    if (!aligned(view.bytes, type == kernels::WeightType::kF32 ? 4 : 2)) return std::nullopt;
    return kernels::Matrix{type, view.bytes.data(), view.shape[0], view.shape[1]};
  }
  std::vector<float> floats(const std::string& name) const override {
    const formats::GgufModel::View view = model_.tensor(name);
    const auto dtype = formats::dtype_of(weight_element(view));
    if (!dtype) {
      base::fail_invalid("weights", "a file of quantised weights must align them to two bytes",
                         model_.file().path().string() + ", " + name, "general.alignment is odd there");
    }
    return floats_of(*dtype, view.bytes, view.shape);
  }
  std::pair<int64_t, int64_t> rows_and_cols(const std::string& name) const override {
    const formats::GgufModel::View view = model_.tensor(name);
    return {view.shape[0], view.shape[1]};
  }
  std::vector<int32_t> hash_table(const std::string& name) const override {
    const formats::GgufModel::View view = model_.tensor(name);  // ids were checked when the file was opened
    std::vector<int32_t> ids(view.bytes.size() / sizeof(int32_t));
    std::memcpy(ids.data(), view.bytes.data(), view.bytes.size());
    return ids;
  }
  bool pairs_neighbours() const override { return true; }

 private:
  formats::GgufModel model_;
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
  std::optional<kernels::Matrix> matrix(const std::string& name) const override {
    const FloatTensor& found = tensors_.at(name);
    return kernels::Matrix{kernels::WeightType::kF32, found.values.data(), found.shape[0], found.shape[1]};
  }
  std::vector<float> floats(const std::string& name) const override { return tensors_.at(name).values; }
  std::pair<int64_t, int64_t> rows_and_cols(const std::string& name) const override {
    return {tensors_.at(name).shape[0], tensors_.at(name).shape[1]};
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

bool LayerWeights::ffn_reads_int8() const {
  const auto reads = [](const kernels::Ffn& ffn) { return is_quantised(ffn.gate.type) || is_quantised(ffn.up.type); };
  return reads(dense) || reads(shared) || std::ranges::any_of(experts, reads);
}

Weights Weights::from_source(const spec::ModelConfig& config, std::shared_ptr<const Source> source) {
  Weights weights;
  weights.config_ = config;
  weights.source_ = std::move(source);
  weights.pairs_neighbours_ = weights.source_->pairs_neighbours();
  weights.bind(*weights.source_);
  return weights;
}

void require_memory(uint64_t weights, uint64_t memory, const base::fs::path& model) {
  if (weights <= memory) return;
  base::fail_invalid(
      "weights", "a model must fit the machine's memory",
      model.string() + " has " + std::to_string(weights) + " bytes of weights, memory is " + std::to_string(memory),
      "-q q4_0 quantises a folder as it is opened, dsmoe quantize makes a file of it");
}

Weights Weights::load(const base::fs::path& model) {
  std::error_code ignored;
  if (base::fs::is_regular_file(model, ignored)) {
    formats::GgufModel file = formats::GgufModel::open(model);
    require_memory(file.file().size(), base::physical_memory(), model);
    return from_gguf(std::move(file));
  }
  formats::ModelFolder folder = formats::ModelFolder::open(model);
  require_memory(folder.total_size(), base::physical_memory(), model);
  return from_folder(std::move(folder));
}

Weights Weights::from_folder(formats::ModelFolder folder) {
  const spec::ModelConfig config = folder.config();
  return from_source(config, std::make_shared<FolderSource>(std::move(folder)));
}

Weights Weights::from_gguf(formats::GgufModel model) {
  const spec::ModelConfig config = model.config();
  return from_source(config, std::make_shared<GgufSource>(std::move(model)));
}

Weights Weights::from_tensors(const spec::ModelConfig& config, FloatTensors tensors) {
  spec::validate(config);
  return from_source(config, std::make_shared<MemorySource>(config, std::move(tensors)));
}

void Weights::for_each_matrix(const std::function<void(const kernels::Matrix&, double)>& visit) const {
  const auto visit_all = [&](const kernels::Ffn& ffn, double share) {
    for (const kernels::Matrix* part : {&ffn.gate, &ffn.up, &ffn.down}) visit(*part, share);
  };
  visit(embedding_, 1 / static_cast<double>(config_.vocab_size));
  for (const LayerWeights& layer : layers_) {
    for (const kernels::Matrix* part : {&layer.q, &layer.k, &layer.v, &layer.o}) visit(*part, 1);
    if (!layer.is_moe) visit_all(layer.dense, 1);
    if (layer.router.rows > 0) visit(layer.router, 1);
    for (const kernels::Ffn& expert : layer.experts) {
      visit_all(expert, static_cast<double>(config_.num_experts_per_tok) / static_cast<double>(layer.experts.size()));
    }
    if (layer.has_shared()) visit_all(layer.shared, 1);
  }
  visit(head_, 1);
}

void Weights::bring_into_memory() const {
  for_each_matrix([](const kernels::Matrix& m, double) {
    base::map_at_once({static_cast<const std::byte*>(m.data), static_cast<size_t>(kernels::matrix_bytes(m))});
  });
}

// Routers are small and many; on small pages they took a quarter longer to read.
Weights::Weights()
    : narrow_copies_(
          std::make_unique<std::pmr::monotonic_buffer_resource>(base::kLargePage, base::large_page_memory())) {}

// A copy: as bfloat16 where that loses nothing, as in a router that was trained or published in it. Products have the
// same bits and read half as much. The vectors' memory does not move when the list grows.
kernels::Matrix Weights::own(std::vector<float> values, int64_t rows, int64_t cols) {
  const bool narrow = std::ranges::all_of(values, [](float x) { return (std::bit_cast<uint32_t>(x) & 0xffff) == 0; });
  if (narrow) {
    auto* copy = static_cast<uint16_t*>(narrow_copies_->allocate(values.size() * sizeof(uint16_t), kLine));
    std::ranges::transform(values, copy, base::f32_to_bf16);
    return {kernels::WeightType::kBf16, copy, rows, cols};
  }
  copies_.push_back(std::move(values));
  return {kernels::WeightType::kF32, copies_.back().data(), rows, cols};
}

kernels::Matrix Weights::matrix(const Source& source, const std::string& name) {
  if (const auto stored = source.matrix(name)) return *stored;
  const auto [rows, cols] = source.rows_and_cols(name);
  return own(source.floats(name), rows, cols);
}

void Weights::bind(const Source& source) {
  embedding_ = matrix(source, "model.embed_tokens.weight");
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    const std::string prefix = spec::layer_prefix(layer);
    LayerWeights weights;
    weights.attention_norm = source.floats(prefix + "input_layernorm.weight");
    weights.q = matrix(source, prefix + "self_attn.q_proj.weight");
    weights.k = matrix(source, prefix + "self_attn.k_proj.weight");
    weights.v = matrix(source, prefix + "self_attn.v_proj.weight");
    weights.o = matrix(source, prefix + "self_attn.o_proj.weight");
    weights.ffn_norm = source.floats(prefix + "post_attention_layernorm.weight");
    weights.is_moe = config_.is_moe_layer(layer);
    if (weights.is_moe) {
      bind_mixture(source, layer, weights);
    } else {
      const auto part = [&](const char* name) { return matrix(source, prefix + "mlp." + name + ".weight"); };
      weights.dense = {part("gate_proj"), part("up_proj"), part("down_proj")};
    }
    layers_.push_back(std::move(weights));
  }
  final_norm_ = source.floats("model.norm.weight");
  head_ = matrix(source, "lm_head.weight");
}

void Weights::bind_mixture(const Source& source, int64_t layer, LayerWeights& weights) {
  const std::string gate = spec::layer_prefix(layer) + "mlp.gate.";
  if (config_.has_router_weight()) {
    weights.router = own(source.floats(gate + "weight"), config_.n_routed_experts, config_.hidden_size);
  } else {
    weights.hash_table = source.hash_table(gate + "hash_table");
  }
  if (config_.has_router_bias()) weights.router_bias = source.floats(gate + "e_score_correction_bias");
  for (int64_t e = 0; e < config_.n_routed_experts; ++e) {
    const auto part = [&](const char* name) { return matrix(source, spec::expert_name(layer, e, name)); };
    weights.experts.push_back({part("gate_proj"), part("up_proj"), part("down_proj")});
  }
  if (config_.n_shared_experts > 0) {
    const auto part = [&](const char* name) { return matrix(source, spec::shared_name(layer, name)); };
    weights.shared = {part("gate_proj"), part("up_proj"), part("down_proj")};
  }
}

}  // namespace dsmoe::engine
