// Adapters beside weights that stay in a GGUF file: every bit is as over the same weights in memory.
#include "model/base_file.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/element_types.h"
#include "formats/gguf_rows.h"
#include "formats/gguf_tokenizer.h"
#include "formats/gguf_writer.h"
#include "kernels/element_types.h"
#include "kernels/product.h"
#include "model/testing.h"
#include "moe/composed.h"
#include "moe/testing.h"

namespace dsmoe::model {
namespace {

using namespace moe::testing;  // NOLINT
using formats::GgufType;

/// A dense block and a mixture; `hidden` and the experts' width decide which types can store the matrices.
spec::ModelConfig small_model(int64_t hidden, int64_t width) {
  spec::ModelConfig config = small_config(8, 3);
  config.hidden_size = hidden;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.num_hidden_layers = 2;
  config.first_k_dense_replace = 1;
  config.intermediate_size = config.moe_intermediate_size = width;
  config.max_position_embeddings = 12;
  config.initializer_range = 0.1;
  return config;
}

Tensor of_name(const Transformer& model, const std::string& name) {
  for (const NamedTensor& tensor : model.tensors()) {
    if (tensor.spec.name == name) return tensor.value;
  }
  throw std::runtime_error(name);
}

/// A row as it is stored in `type`.
std::string stored(const float* row, int64_t n, GgufType type) {
  const kernels::WeightType weights = kernels::weight_type(*formats::element_type(type));
  std::string bytes(static_cast<size_t>(kernels::row_bytes(weights, n)), '\0');
  if (is_quantised(weights)) {
    kernels::quantise_ref(block_type(weights), row, n, bytes.data());
  } else {
    const auto options = torch::dtype(type == GgufType::kF32   ? torch::kFloat
                                      : type == GgufType::kF16 ? torch::kHalf
                                                               : torch::kBFloat16);
    const Tensor values = torch::from_blob(const_cast<float*>(row), {n}, torch::kFloat).to(options).contiguous();
    std::memcpy(bytes.data(), values.data_ptr(), bytes.size());
  }
  return bytes;
}

/// Writes the weights of `model` in `type`, where that divides their rows (else in F32), and rounds them in the model
/// to what the file says.
void write_and_round(const base::fs::path& path, const Transformer& model, GgufType type) {
  const torch::NoGradGuard no_grad;
  const spec::ModelConfig& config = model.config();
  const formats::GgufArch arch = formats::gguf_arch_for(config);
  formats::GgufMetadata keys;
  formats::add_model_keys(keys, config, arch);
  if (arch != formats::GgufArch::kDsmoe) {
    formats::add_no_tokenizer_keys(keys, config.bos_token_id, config.eos_token_id);
  }
  const auto plans = formats::gguf_tensors(config);
  std::vector<formats::GgufDeclaration> tensors;
  for (const auto& plan : plans) {
    const bool matrix = plan.role != spec::TensorRole::kNorm && plan.role != spec::TensorRole::kRouter &&
                        plan.role != spec::TensorRole::kRouterBias;
    const bool fits = matrix && plan.shape.back() % formats::gguf_type_info(type).block_values == 0;
    const GgufType own = plan.role == spec::TensorRole::kHashTable ? GgufType::kI32 : fits ? type : GgufType::kF32;
    tensors.push_back({plan.name, own, plan.shape});
  }
  formats::GgufWriter writer(path, keys, tensors, base::unsynced_files);
  for (size_t i = 0; i < plans.size(); ++i) {
    for (const std::string& source : plans[i].sources) {
      Tensor value = of_name(model, source);
      if (tensors[i].type == GgufType::kI32) {
        writer.append(
            {static_cast<const std::byte*>(value.contiguous().data_ptr()), static_cast<size_t>(value.nbytes())});
        continue;
      }
      const Tensor rows = value.dim() > 1 ? value : value.unsqueeze(0);
      const kernels::WeightType weights = kernels::weight_type(*formats::element_type(tensors[i].type));
      const int64_t n = rows.size(0), width = rows.size(1), heads = plans[i].interleaved_heads;
      for (int64_t row = 0; row < n; ++row) {
        const Tensor own = rows[heads > 0 ? formats::folder_row(row, n / heads) : row];
        const Tensor values = own.to(torch::kFloat).contiguous();
        const std::string bytes = stored(values.data_ptr<float>(), width, tensors[i].type);
        writer.append(std::as_bytes(std::span(bytes)));
        std::vector<float> means(static_cast<size_t>(width));
        kernels::weight_row({weights, bytes.data(), 1, width}, 0, means);
        own.copy_(torch::from_blob(means.data(), {width}, torch::kFloat));
      }
    }
  }
  writer.finish();
}

TransformerOptions options_of(torch::ScalarType type, const std::string& targets, bool recompute) {
  TransformerOptions options;
  options.compute = type;
  options.master = type == torch::kFloat64 ? type : torch::kFloat32;
  options.recompute = recompute;
  options.adapters = {.rank = 3, .alpha = 4, .targets = targets};
  return options;
}

Transformer trained(const spec::ModelConfig& config, const TransformerOptions& options) {
  moe::TrainingOptions training;
  training.aux_loss_alpha = 0.1;
  Transformer model(config, training, options);
  model.initialise(5);
  const torch::NoGradGuard no_grad;
  uint64_t seed = 0;
  for (const AdaptedModule& module : model.adapters()) {
    module.b.copy_(random_tensor(module.b.sizes().vec(), ++seed, 0.3));
  }
  return model;
}

/// `bound` of gradients, relative to the largest: 0 means every bit.
void expect_the_same(const Transformer& memory, const Transformer& file, double bound = 0) {
  const Batch batch = some_batch();
  EXPECT_TRUE(memory.logits(batch.ids_BS).equal(file.logits(batch.ids_BS)));
  EXPECT_TRUE(memory.evaluate(batch).losses_BS.equal(file.evaluate(batch).losses_BS));
  const StepOutput a = memory.forward_loss(batch, kTotals), b = file.forward_loss(batch, kTotals);
  EXPECT_EQ(a.loss.item<double>(), b.loss.item<double>());
  EXPECT_EQ(a.balance_loss.item<double>(), b.balance_loss.item<double>());
  a.total().backward();
  b.total().backward();
  ASSERT_EQ(memory.parameters().size(), file.parameters().size());
  for (size_t i = 0; i < memory.parameters().size(); ++i) {
    const Parameter &in_memory = memory.parameters()[i], &beside_file = file.parameters()[i];
    ASSERT_EQ(in_memory.name, beside_file.name);
    EXPECT_GT(largest(in_memory.value.grad()), 0) << in_memory.name;
    EXPECT_LE(largest_difference(in_memory.value.grad(), beside_file.value.grad()),
              bound * largest(in_memory.value.grad()))
        << in_memory.name;
  }
}

/// What a file stores, and what is computed in.
class BaseFileOf : public ::testing::TestWithParam<std::tuple<GgufType, torch::ScalarType>> {};

TEST_P(BaseFileOf, GivesTheBitsOfTheSameWeightsInMemory) {
  const auto [stored_as, type] = GetParam();
  const base::TestFolder folder;
  const base::fs::path path = folder / "base.gguf";
  const spec::ModelConfig config = small_model(256, 64);
  const TransformerOptions options = options_of(type, "all", true);
  const Transformer memory = trained(config, options);
  write_and_round(path, memory, stored_as);
  TransformerOptions beside = options;
  beside.base = std::make_shared<formats::GgufModel>(formats::GgufModel::open(path));
  expect_the_same(memory, trained(config, beside));
}
INSTANTIATE_TEST_SUITE_P(All, BaseFileOf,
                         ::testing::Combine(::testing::Values(GgufType::kF32, GgufType::kF16, GgufType::kBf16,
                                                              GgufType::kQ8_0, GgufType::kQ4_0, GgufType::kQ4_1,
                                                              GgufType::kQ5_0, GgufType::kQ5_1, GgufType::kQ4K,
                                                              GgufType::kQ5K, GgufType::kQ6K),
                                            ::testing::Values(torch::kBFloat16, torch::kFloat32, torch::kFloat64)),
                         [](const auto& info) {
                           return std::string(formats::gguf_type_info(std::get<0>(info.param)).name) + "_" +
                                  c10::toString(std::get<1>(info.param));
                         });

// Odd widths, where gates and ups are one piece; each set of targets leaves other weights without adapters. In memory
// experts without adapters go backward in fused steps (moe/swiglu_bank.h), which round a slot's weight elsewhere: sums
// have at most 40 terms, a dozen of them between a weight and the loss, so 12 * 50 roundings of 2^-24.
TEST(BaseFile, GivesThoseValuesForOddWidthsAndAnyTargets) {
  spec::ModelConfig gates = small_model(8, 7);
  gates.scoring_func = spec::ScoringFunc::kSigmoid;
  gates.topk_method = spec::TopkMethod::kNoauxTc;
  for (const spec::ModelConfig& config : {small_model(8, 7), gates}) {
    for (const char* targets : {"attention", "experts", "shared,dense", "gate_proj", "down_proj", "mlp.experts.5"}) {
      SCOPED_TRACE(targets);
      const base::TestFolder folder;
      const TransformerOptions options = options_of(torch::kFloat32, targets, false);
      const Transformer memory = trained(config, options);
      write_and_round(folder / "base.gguf", memory, GgufType::kF32);
      TransformerOptions beside = options;
      beside.base = std::make_shared<formats::GgufModel>(formats::GgufModel::open(folder / "base.gguf"));
      const bool steps = std::string_view(targets) != "attention" && std::string_view(targets) != "shared,dense";
      expect_the_same(memory, trained(config, beside), steps ? 0 : 12 * 50 * 0x1p-24);
    }
  }
}

TEST(BaseFile, HasNoMemoryForWeights) {
  const base::TestFolder folder;
  const spec::ModelConfig config = small_model(64, 32);
  write_and_round(folder / "base.gguf", trained(config, options_of(torch::kFloat32, "attention", false)),
                  GgufType::kQ4_0);
  TransformerOptions beside = options_of(torch::kFloat32, "attention", false);
  beside.base = std::make_shared<formats::GgufModel>(formats::GgufModel::open(folder / "base.gguf"));
  const Transformer model = trained(config, beside);
  for (const NamedTensor& tensor : model.tensors()) {
    const bool small = tensor.spec.role == spec::TensorRole::kNorm || tensor.spec.role == spec::TensorRole::kRouter;
    EXPECT_EQ(tensor.value.is_meta(), !small) << tensor.spec.name;
  }
  spec::ModelConfig other = config;
  other.rope_theta = 7;
  EXPECT_THROW(trained(other, beside), base::Error);
}

}  // namespace
}  // namespace dsmoe::model
