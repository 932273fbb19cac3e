// The whole model: laws every gate keeps, accumulation, recomputation, files.
#include "model/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/test_files.h"
#include "formats/initial_values.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"
#include "moe/composed.h"
#include "moe/testing.h"

namespace dsmoe::model {
namespace {

using namespace moe::testing;  // NOLINT

/// Two blocks, the first dense; grouped key/value heads.
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
  config.initializer_range = 0.5;  // weights large enough that a wrong gate shows
  return config;
}

moe::TrainingOptions with_balance() {
  moe::TrainingOptions training;
  training.aux_loss_alpha = 0.1;
  training.z_loss_alpha = 0.01;
  return training;
}

const TransformerOptions kDouble{.compute = torch::kFloat64, .master = torch::kFloat64};

Batch random_batch(int64_t sequences, int64_t positions, uint64_t seed) {
  base::Rng rng(seed);
  Batch batch{torch::empty({sequences, positions}, torch::kInt64), torch::empty({sequences, positions}, torch::kInt64)};
  for (Tensor& ids : {std::ref(batch.ids_BS), std::ref(batch.targets_BS)}) {
    for (int64_t i = 0; i < ids.numel(); ++i) ids.data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(16));
  }
  return batch;
}

BatchTotals totals_of(const Batch& batch) {
  const auto tokens = static_cast<double>(batch.ids_BS.numel());
  return {tokens, tokens};
}

void clear(const Transformer& model) {
  for (const Parameter& p : model.parameters()) Tensor(p.value).mutable_grad() = Tensor();
}
std::vector<Tensor> gradients(const Transformer& model) {
  std::vector<Tensor> all;
  for (const Parameter& p : model.parameters()) {
    all.push_back(p.value.grad().defined() ? p.value.grad().clone() : torch::zeros_like(p.value));
  }
  return all;
}
std::vector<Tensor> step_gradients(const Transformer& model, const std::vector<Batch>& batches, BatchTotals totals) {
  clear(model);
  for (const Batch& batch : batches) model.forward_loss(batch, totals).total().backward();
  return gradients(model);
}

class EveryModel : public ::testing::TestWithParam<moe::GateKind> {
 protected:
  EveryModel() { GetParam().configure(config_); }
  Transformer make(const TransformerOptions& options, const moe::TrainingOptions& training = with_balance()) const {
    Transformer model(config_, training, options);
    model.initialise(5);
    return model;
  }
  spec::ModelConfig config_ = tiny();
};

TEST_P(EveryModel, GradientsByCentralDifferences) {
  const Transformer model = make(kDouble);
  const Batch batch = random_batch(2, 5, 1);
  const auto analytic = step_gradients(model, {batch}, totals_of(batch));
  const torch::NoGradGuard no_grad;
  base::Rng rng(2);
  for (size_t i = 0; i < analytic.size(); ++i) {
    const Tensor value = model.parameters()[i].value;
    for (int sample = 0; sample < 6; ++sample) {  // a few elements of each parameter; ops are tested one by one
      auto* element = value.data_ptr<double>() + rng.below(static_cast<uint64_t>(value.numel()));
      const auto index = element - value.data_ptr<double>();
      const double before = *element;
      const auto loss = [&](double offset) {
        *element = before + offset;
        return model.forward_loss(batch, totals_of(batch)).total().item<double>();
      };
      const double numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
      *element = before;
      EXPECT_NEAR(analytic[i].data_ptr<double>()[index], numeric, 1e-7) << model.parameters()[i].name;
    }
  }
}

TEST_P(EveryModel, MicroBatchesAddUpToTheBigBatch) {
  const Transformer model = make(kDouble);
  Batch big = random_batch(4, 6, 3);
  big.mask_BS = torch::ones({4, 6}, torch::kBool);
  big.mask_BS[2].narrow(0, 4, 2).fill_(false);  // padding at the end of a sequence
  big.targets_BS.masked_fill_(big.mask_BS.logical_not(), kIgnore);
  big.targets_BS[0].narrow(0, 0, 3).fill_(kIgnore);  // a prompt: real tokens without loss
  const BatchTotals totals{24 - 2 - 3, 24 - 2};
  std::vector<Batch> micro;
  for (const auto& [first, count] : {std::pair{0, 1}, std::pair{1, 2}, std::pair{3, 1}}) {
    const auto part = [&, f = first, n = count](const Tensor& x) { return x.narrow(0, f, n); };
    micro.push_back({part(big.ids_BS), part(big.targets_BS), part(big.mask_BS)});
  }
  const auto whole = step_gradients(model, {big}, totals), pieces = step_gradients(model, micro, totals);
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_LT(largest_difference(whole[i], pieces[i]), 1e-14) << model.parameters()[i].name;
  }
}

/// Sequences of unequal length in one row, and each alone.
struct Packed {
  Batch row;
  std::vector<Batch> alone;
};
Packed packed_batch() {
  const std::vector<int64_t> lengths = {5, 1, 12, 3};
  Packed packed{random_batch(1, 21, 9), {}};
  packed.row.sequences = moe::Sequences::of_lengths(lengths);
  packed.row.targets_BS.narrow(1, 6, 7).fill_(kIgnore);  // a question: read, without loss
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t first = packed.row.sequences.begins()[i];
    packed.alone.push_back(
        {packed.row.ids_BS.narrow(1, first, lengths[i]), packed.row.targets_BS.narrow(1, first, lengths[i])});
  }
  return packed;
}

TEST_P(EveryModel, APackedTargetsLossIsItsLossAloneToTheBit) {
  const Packed packed = packed_batch();
  for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
    if (moe::composed(torch::zeros({1}))) GTEST_SKIP() << "LibTorch's own sums depend on how much is computed at once";
    const Transformer model = make({.compute = type});
    const Tensor losses = model.evaluate(packed.row).losses_BS;
    for (size_t i = 0; i < packed.alone.size(); ++i) {
      const Tensor alone = model.evaluate(packed.alone[i]).losses_BS;
      const int64_t first = packed.row.sequences.begins()[i];
      EXPECT_TRUE(losses.narrow(1, first, alone.size(1)).equal(alone)) << "sequence " << i;
    }
  }
}

// In float64, where what is left are the roundings of some hundred additions of gradients below 1: 1e-16 each. The
// balance losses per sequence take part: a sequence is one of those packed, not the row.
TEST_P(EveryModel, PackedGradientsAreTheSumOfThoseAlone) {
  const Packed packed = packed_batch();
  const Transformer model = make(kDouble);
  const BatchTotals totals{21 - 7, 21};
  const auto together = step_gradients(model, {packed.row}, totals),
             apart = step_gradients(model, packed.alone, totals);
  for (size_t i = 0; i < together.size(); ++i) {
    EXPECT_LT(largest_difference(together[i], apart[i]), 1e-13) << model.parameters()[i].name;
  }
}

// In float32 a gradient sums over as many tokens in another order: each addition rounds to 2^-24 of the sum of sizes.
// What a block passes back doubles what came to it at most a few times, on the composed path with roundings of its own,
// as LibTorch's products sum in an order that depends on how much is computed at once: 2^5 in all. Where
// two sequences are joined by mistake, gradients move by hundreds of times this bound.
TEST_P(EveryModel, PackedGradientsInFloatAreTheSumOfThoseAlone) {
  const Packed packed = packed_batch();
  const Transformer model = make({});
  const BatchTotals totals{21 - 7, 21};
  const auto together = step_gradients(model, {packed.row}, totals),
             apart = step_gradients(model, packed.alone, totals);
  for (size_t i = 0; i < together.size(); ++i) {
    const double size = apart[i].abs().max().item<double>();
    EXPECT_LT(largest_difference(together[i], apart[i]), 21 * 32 * 0x1p-24 * std::max(size, 1e-3))
        << model.parameters()[i].name;
  }
}

TEST_P(EveryModel, LossesAreSharesOfTheStepsTotals) {
  const Transformer model = make(kDouble);
  const Batch batch = random_batch(2, 6, 3);
  const StepOutput a = model.forward_loss(batch, {12, 12}), b = model.forward_loss(batch, {24, 36});
  EXPECT_NEAR(b.loss.item<double>(), a.loss.item<double>() / 2, 1e-14);
  EXPECT_NEAR(b.balance_loss.item<double>(), a.balance_loss.item<double>() / 3, 1e-14);
}

TEST_P(EveryModel, RecomputationChangesNoBit) {
  moe::TrainingOptions training = with_balance();
  training.capacity_factor = 0.8;
  training.random_second_expert = true;
  TransformerOptions options;
  Batch batch = random_batch(2, 7, 4);
  batch.random_key = 77;
  const auto plain = step_gradients(make(options, training), {batch}, totals_of(batch));
  options.recompute = true;
  const Transformer model = make(options, training);
  const auto again = step_gradients(model, {batch}, totals_of(batch));
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(plain[i].equal(again[i])) << model.parameters()[i].name;
  EXPECT_EQ(model.forward_loss(batch, totals_of(batch)).routings.size(), 1U);
}

TEST_P(EveryModel, LogitsLookAtThePastOnlyAndAgreeWithLosses) {
  const Transformer model = make(kDouble);
  const Batch batch = random_batch(2, 9, 6);
  const Tensor logits = model.logits(batch.ids_BS);
  const Tensor part = model.logits(batch.ids_BS.narrow(1, 0, 4));
  EXPECT_LT(largest_difference(logits.narrow(1, 0, 4), part), 1e-13);
  const Evaluation evaluation = model.evaluate(batch);
  const Tensor losses = -torch::log_softmax(logits, -1).gather(2, batch.targets_BS.unsqueeze(2)).squeeze(2);
  EXPECT_LT(largest_difference(evaluation.losses_BS, losses), 1e-13);
  const StepOutput step = model.forward_loss(batch, totals_of(batch));
  EXPECT_NEAR(step.loss.item<double>(), losses.mean().item<double>(), 1e-13) << "dropless training is evaluation";
  ASSERT_EQ(step.routings.size(), 1U);
  EXPECT_TRUE(step.routings[0].experts_TK.equal(evaluation.routings[0].experts_TK));
  EXPECT_FALSE(step.routings[0].weights_TK.requires_grad());
}

TEST_P(EveryModel, SavesUnderTheSpecificationsNamesAndLoadsBack) {
  const base::TestFolder root;
  for (const char* name : {"init", "saved"}) base::fs::create_directory(root / name);
  formats::ModelFolderOptions options{.dtype = formats::Dtype::kF32};
  formats::ModelFolderWriter init(root / "init", config_, options);
  formats::write_initial_model(init, config_, 5, base::serial_for);
  init.finish();

  Transformer model = make({});
  formats::ModelFolderWriter writer(root / "saved", config_, options);
  model.save(writer);
  writer.finish();
  const auto a = formats::ModelFolder::open(root / "init"), b = formats::ModelFolder::open(root / "saved");
  spec::for_each_tensor(config_, [&](const spec::TensorSpec& tensor) {
    const auto left = a.tensor(tensor.name).bytes, right = b.tensor(tensor.name).bytes;
    EXPECT_TRUE(std::equal(left.begin(), left.end(), right.begin(), right.end()))
        << tensor.name << ": initialise() and dsmoe init must agree";
  });

  Transformer other(config_, with_balance(), {});
  other.initialise(6);
  const Batch batch = random_batch(1, 8, 7);
  EXPECT_FALSE(other.logits(batch.ids_BS).equal(model.logits(batch.ids_BS)));
  other.load(b);
  EXPECT_TRUE(other.logits(batch.ids_BS).equal(model.logits(batch.ids_BS)));

  config_.num_hidden_layers = 3;
  Transformer deeper(config_, {}, {});
  EXPECT_THROW(deeper.load(b), base::Error);
}

TEST_P(EveryModel, LearnsAndComputesTheSameBitsEveryTime) {
  TransformerOptions options;
  options.compute = torch::kBFloat16;
  const Batch batch = random_batch(4, 8, 8);
  std::vector<double> losses[2];
  for (auto& series : losses) {
    const Transformer model = make(options);
    for (int step = 0; step < 30; ++step) {
      clear(model);
      const StepOutput out = model.forward_loss(batch, totals_of(batch));
      out.total().backward();
      series.push_back(out.loss.item<double>());
      const torch::NoGradGuard no_grad;
      for (const Parameter& p : model.parameters()) Tensor(p.value).sub_(p.value.grad(), 0.2);
    }
  }
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_LT(losses[0].back(), 0.8 * losses[0].front()) << "thirty steps on one batch";
}

INSTANTIATE_TEST_SUITE_P(Registered, EveryModel, ::testing::ValuesIn(moe::gate_kinds()),
                         [](const auto& info) { return info.param.name; });

TEST(Transformer, TensorsAreTheSpecificationsInItsOrder) {
  const Transformer model(tiny(), {}, {});
  const auto expected = spec::tensors_of(tiny());
  ASSERT_EQ(model.tensors().size(), expected.size());
  int64_t named = 0, stored = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(model.tensors()[i].spec.name, expected[i].name);
    EXPECT_EQ(model.tensors()[i].value.sizes(), expected[i].shape);
    named += expected[i].numel();
  }
  for (const Parameter& p : model.parameters()) {
    stored += p.value.numel();
    EXPECT_TRUE(p.value.is_leaf() && p.value.requires_grad() && p.value.is_contiguous());
  }
  EXPECT_EQ(named, stored) << "every value stored once";
}

TEST(Transformer, DenseModelHasNoRoutings) {
  spec::ModelConfig config = tiny();
  config.n_routed_experts = config.n_shared_experts = config.num_experts_per_tok = 0;
  config.n_group = config.topk_group = 1;
  config.first_k_dense_replace = 0;
  Transformer model(config, {}, {});
  model.initialise(1);
  const Batch batch = random_batch(2, 5, 1);
  const StepOutput out = model.forward_loss(batch, totals_of(batch));
  EXPECT_TRUE(out.routings.empty());
  EXPECT_EQ(out.balance_loss.item<float>(), 0);
  out.total().backward();
}

TEST(Transformer, RouterBiasChangesChoicesNotGateValues) {
  spec::ModelConfig config = tiny();
  config.topk_method = spec::TopkMethod::kNoauxTc;
  config.n_group = config.topk_group = 1;
  Transformer model(config, {}, {});
  model.initialise(1);
  ASSERT_EQ(model.router_biases().size(), 1U);
  Tensor(model.router_biases()[0]).index_put_({torch::tensor({6})}, 10);
  const Batch batch = random_batch(1, 6, 2);
  const auto routing = model.evaluate(batch).routings[0];
  EXPECT_TRUE(routing.experts_TK.select(1, 0).eq(6).all().item<bool>());
  EXPECT_LT(routing.weights_TK.max().item<float>(), 1);
}

TEST(Transformer, Bfloat16IsNearFloat32) {
  TransformerOptions options;
  spec::ModelConfig config = tiny();
  config.initializer_range = 0.1;
  config.num_experts_per_tok = config.n_routed_experts;  // no choice that rounding could turn
  config.topk_group = config.n_group;
  Transformer exact(config, {}, options);
  options.compute = torch::kBFloat16;
  Transformer rounded(config, {}, options);
  exact.initialise(3);
  rounded.initialise(3);
  const Batch batch = random_batch(4, 10, 3);
  const double a = exact.forward_loss(batch, totals_of(batch)).loss.item<double>();
  const double b = rounded.forward_loss(batch, totals_of(batch)).loss.item<double>();
  EXPECT_NE(a, b);
  EXPECT_NEAR(a, b, 0.01 * a);
}

TEST(Transformer, RefusesWhatItCannotRead) {
  const Transformer model(tiny(), {}, {});
  EXPECT_THROW(model.logits(torch::full({1, 3}, 16, torch::kInt64)), base::Error);
  EXPECT_THROW(model.logits(torch::full({1, 3}, -1, torch::kInt64)), base::Error);
  EXPECT_THROW(model.logits(torch::zeros({1, 13}, torch::kInt64)), base::Error);
  spec::ModelConfig impossible = tiny();
  impossible.num_experts_per_tok = 9;
  EXPECT_THROW(Transformer(impossible, {}, {}), base::Error);
}

}  // namespace
}  // namespace dsmoe::model
