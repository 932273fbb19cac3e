// A model with adapters: nothing is added at first, they alone have gradients, and the kernels add what the merged
// weight means.
#include "model/adapters.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "model/testing.h"
#include "moe/composed.h"
#include "moe/testing.h"

namespace dsmoe::model {
namespace {

using namespace moe::testing;  // NOLINT

/// A dense block and a mixture with shared experts; grouped key/value heads.
spec::ModelConfig tiny() {
  spec::ModelConfig config = small_config(8, 3);
  config.vocab_size = 16;
  config.hidden_size = 8;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.num_hidden_layers = 2;
  config.first_k_dense_replace = 1;
  config.intermediate_size = 7;
  config.max_position_embeddings = 12;
  config.initializer_range = 0.5;
  return config;
}

moe::TrainingOptions with_balance() {
  moe::TrainingOptions training;
  training.aux_loss_alpha = 0.1;
  return training;
}

TransformerOptions options_of(torch::ScalarType type, const std::string& targets, int64_t rank = 3) {
  TransformerOptions options;
  options.compute = type;
  options.master = type == torch::kFloat64 ? type : torch::kFloat32;
  options.adapters = {.rank = rank, .alpha = 4, .targets = targets};
  return options;
}

Transformer make(const TransformerOptions& options) {
  Transformer model(tiny(), with_balance(), options);
  model.initialise(5);
  return model;
}

/// B moved away from zero, by numbers that a type of 16 bits holds.
Transformer make_trained(const TransformerOptions& options) {
  Transformer model = make(options);
  const torch::NoGradGuard no_grad;
  uint64_t seed = 0;
  for (const AdaptedModule& module : model.adapters()) {
    module.b.copy_(random_tensor(module.b.sizes().vec(), ++seed, 0.3).to(torch::kBFloat16));
    module.a.copy_(module.a.to(torch::kBFloat16));
  }
  return model;
}

std::vector<Tensor> step_gradients(const Transformer& model) {
  for (const Parameter& p : model.parameters()) Tensor(p.value).mutable_grad() = Tensor();
  model.forward_loss(some_batch(), kTotals).total().backward();
  std::vector<Tensor> all;
  for (const Parameter& p : model.parameters()) {
    all.push_back(p.value.grad().defined() ? p.value.grad().clone() : torch::zeros_like(p.value));
  }
  return all;
}

class AdaptersOf : public ::testing::TestWithParam<const char*> {};

TEST_P(AdaptersOf, AddNothingAtFirstToTheBit) {
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
    TransformerOptions plain = options_of(type, "", 0);
    const Transformer base = make(plain), adapted = make(options_of(type, GetParam()));
    const Batch batch = some_batch();
    EXPECT_TRUE(base.logits(batch.ids_BS).equal(adapted.logits(batch.ids_BS))) << type;
    const StepOutput a = base.forward_loss(batch, kTotals), b = adapted.forward_loss(batch, kTotals);
    EXPECT_EQ(a.loss.item<double>(), b.loss.item<double>()) << type;
    EXPECT_EQ(a.balance_loss.item<double>(), b.balance_loss.item<double>()) << type;
  }
}

TEST_P(AdaptersOf, GradientsByCentralDifferences) {
  const Transformer model = make_trained(options_of(torch::kFloat64, GetParam()));
  const auto analytic = step_gradients(model);
  const torch::NoGradGuard no_grad;
  base::Rng rng(2);
  for (size_t i = 0; i < analytic.size(); ++i) {
    const Tensor value = model.parameters()[i].value;
    for (int sample = 0; sample < 6; ++sample) {
      const auto index = static_cast<int64_t>(rng.below(static_cast<uint64_t>(value.numel())));
      auto* element = value.data_ptr<double>() + index;
      const double before = *element;
      const auto loss = [&](double offset) {
        *element = before + offset;
        return model.forward_loss(some_batch(), kTotals).total().item<double>();
      };
      const double numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
      *element = before;
      EXPECT_NEAR(analytic[i].data_ptr<double>()[index], numeric, 1e-7) << model.parameters()[i].name;
    }
  }
}

// The kernels' float32 steps against merged weights in double. Sums have at most 40 terms and an adapter's two more of
// rank 3, a dozen of them between a weight and the loss: 12 * 50 roundings of 2^-24, relative to the largest value.
TEST_P(AdaptersOf, KernelsAddWhatTheMergedWeightMeans) {
  if (moe::composed(torch::zeros({1}))) GTEST_SKIP() << "DSMOE_COMPOSED leaves the kernels out";
  constexpr double kBound = 12 * 50 * 0x1p-24;
  const Transformer fast = make_trained(options_of(torch::kFloat32, GetParam()));
  const Transformer exact = make_trained(options_of(torch::kFloat64, GetParam()));
  const Tensor ids = some_batch().ids_BS, logits = exact.logits(ids);
  EXPECT_LT(largest_difference(fast.logits(ids), logits), kBound * (1 + largest(logits)));
  EXPECT_GT(largest_difference(make(options_of(torch::kFloat64, GetParam())).logits(ids), logits), 0.01);
  const auto a = step_gradients(fast), b = step_gradients(exact);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LT(largest_difference(a[i], b[i]), kBound * (1 + largest(b[i]))) << fast.parameters()[i].name;
  }
}

TEST_P(AdaptersOf, TrainTheSameBitsWhereBlocksRunAgain) {
  TransformerOptions options = options_of(torch::kFloat32, GetParam());
  const auto plain = step_gradients(make_trained(options));
  options.recompute = true;
  const Transformer model = make_trained(options);
  const auto again = step_gradients(model);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_GT(largest(plain[i]), 0) << model.parameters()[i].name;
    EXPECT_TRUE(plain[i].equal(again[i])) << model.parameters()[i].name;
  }
}

TEST_P(AdaptersOf, LeaveTheBaseWithoutGradient) {
  const Transformer model = make_trained(options_of(torch::kFloat32, GetParam()));
  const size_t modules = model.adapters().size();
  EXPECT_GT(modules, 0U);
  step_gradients(model);
  for (const Parameter& p : model.parameters()) EXPECT_NE(p.name.find(".lora_"), std::string::npos) << p.name;
  for (const NamedTensor& tensor : model.tensors()) EXPECT_FALSE(tensor.value.requires_grad()) << tensor.spec.name;
}

INSTANTIATE_TEST_SUITE_P(Targets, AdaptersOf,
                         ::testing::Values("all", "attention", "v_proj,up_proj", "dense,shared", "experts",
                                           "mlp.experts.2,layers.1.mlp.experts.5.down_proj"),
                         [](const auto& info) { return "case" + std::to_string(info.index); });

TEST(Adapters, AreNamedByTheirModulesAndRefuseTargetsThatNameNone) {
  const Transformer model = make(options_of(torch::kFloat32, "layers.1.mlp.experts.5.down_proj,k_proj"));
  std::vector<std::string> names;
  for (const AdaptedModule& module : model.adapters()) names.push_back(module.name);
  EXPECT_EQ(names, (std::vector<std::string>{"model.layers.0.self_attn.k_proj", "model.layers.1.self_attn.k_proj",
                                             "model.layers.1.mlp.experts.5.down_proj"}));
  EXPECT_EQ(model.adapters()[0].a.sizes(), (std::vector<int64_t>{3, 8}));
  EXPECT_EQ(model.adapters()[0].b.sizes(), (std::vector<int64_t>{4, 3}));
  EXPECT_DOUBLE_EQ(model.adapters()[0].scale, 4.0 / 3);
  for (const char* targets : {"mlp.experts.9", "proj", "mlp.gate", "q_proj,norm", ""}) {
    EXPECT_NE(base::message_of([&] { make(options_of(torch::kFloat32, targets)); }).find("target"), std::string::npos)
        << targets;
  }
}

}  // namespace
}  // namespace dsmoe::model
