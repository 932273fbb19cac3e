// A model of which some experts train: they have the gradients that they have in the whole, nothing else has any, and
// what is written into them is what the model computes with.
#include <gtest/gtest.h>

#include "base/test_files.h"
#include "model/testing.h"
#include "moe/testing.h"

namespace dsmoe::model {
namespace {

using namespace moe::testing;  // NOLINT

constexpr const char* kChosen = "layers.0.mlp.experts.2,layers.1.mlp.experts.5,layers.1.mlp.experts.0";

spec::ModelConfig tiny() {
  spec::ModelConfig config = small_config(8, 3);
  config.vocab_size = 16;
  config.hidden_size = 8;
  config.num_attention_heads = config.num_key_value_heads = 2;
  config.num_hidden_layers = 2;
  config.first_k_dense_replace = 0;
  config.moe_intermediate_size = 40;  // several panels
  config.max_position_embeddings = 12;
  config.initializer_range = 0.5;
  return config;
}

Transformer make(torch::ScalarType type, const std::string& experts, bool recompute = false) {
  moe::TrainingOptions training;
  training.aux_loss_alpha = 0.1;
  TransformerOptions options;
  options.compute = type;
  options.master = type == torch::kFloat64 ? type : torch::kFloat32;
  options.recompute = recompute;
  options.adapters.targets = experts;
  Transformer model(tiny(), training, options);
  model.initialise(5);
  return model;
}

std::map<std::string, Tensor> step_gradients(const Transformer& model) {
  model.forward_loss(some_batch(), kTotals).total().backward();
  std::map<std::string, Tensor> gradients;
  for (const Parameter& p : model.parameters()) gradients[p.name] = p.value.grad();
  return gradients;
}

TEST(TrainedExperts, HaveTheGradientsThatTheyHaveInTheWhole) {
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
    const auto whole = step_gradients(make(type, ""));
    for (const bool recompute : {false, true}) {
      const auto chosen = step_gradients(make(type, kChosen, recompute));
      EXPECT_EQ(chosen.size(), 6U) << "gates and ups, and down, of three";
      for (const auto& [name, gradient] : chosen) {
        ASSERT_TRUE(gradient.defined()) << name;
        const size_t number = name.find("experts.") + 8;
        const Tensor stack = whole.at(name.substr(0, number) + name.substr(name.find('.', number) + 1));
        EXPECT_TRUE(gradient.equal(stack[std::stoll(name.substr(number))])) << name << " " << type;
        EXPECT_GT(largest(gradient), 0) << name;
      }
    }
  }
}

TEST(TrainedExperts, AreWhatTheModelComputesWith) {
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
    const Transformer plain = make(type, ""), model = make(type, kChosen);
    const Tensor ids = some_batch().ids_BS, before = model.logits(ids);
    EXPECT_TRUE(before.equal(plain.logits(ids))) << type;
    const torch::NoGradGuard no_grad;
    for (const Parameter& p : model.parameters()) Tensor(p.value).mul_(-2);
    for (size_t i = 0; i < plain.tensors().size(); ++i) plain.tensors()[i].value.copy_(model.tensors()[i].value);
    EXPECT_FALSE(before.equal(model.logits(ids))) << type;
    EXPECT_TRUE(plain.logits(ids).equal(model.logits(ids))) << type;
    for (const NamedTensor& tensor : model.tensors()) tensor.value.mul_(0.5);  // as loading writes: into the stacks
    for (const NamedTensor& tensor : plain.tensors()) tensor.value.mul_(0.5);
    EXPECT_TRUE(plain.logits(ids).equal(model.logits(ids))) << type;
  }
}

TEST(TrainedExperts, LeaveTheOthersWithoutGradient) {
  const Transformer model = make(torch::kFloat32, kChosen);
  step_gradients(model);
  int64_t count = 0;
  for (const Parameter& p : model.parameters()) count += p.value.numel();
  EXPECT_EQ(count, 3 * 3 * tiny().hidden_size * tiny().moe_intermediate_size);
  for (const NamedTensor& tensor : model.tensors()) EXPECT_FALSE(tensor.value.requires_grad()) << tensor.spec.name;
}

TEST(TrainedExperts, AreWholeRoutedOnes) {
  for (const char* targets : {"mlp.experts.9", "experts.2.up_proj", "q_proj", "shared", "all,q_proj"}) {
    EXPECT_NE(base::message_of([&] { make(torch::kFloat32, targets); }), "") << targets;
  }
}

}  // namespace
}  // namespace dsmoe::model
