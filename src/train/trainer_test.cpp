// A step's bits: the same on one thread and on several, run after run, for every gate and both precisions.
#include "train/trainer.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "moe/composed.h"
#include "moe/parallel.h"
#include "spec/settings.h"

namespace dsmoe::train {
namespace {

struct BitsCase {
  const char* name;
  std::vector<std::string> settings;
};

class Bits : public ::testing::TestWithParam<BitsCase> {
 protected:
  struct Outcome {
    std::vector<double> losses, balance, norms;
    std::vector<torch::Tensor> values;
  };

  /// Two steps of two micro-batches of 2,048 tokens: large enough for every operation to be cut among threads.
  Outcome run(int threads) const {
    at::set_num_threads(threads);
    std::vector<std::string> settings = {"model.max_position_embeddings=512",
                                         "train.sequence_length=512",
                                         "train.micro_batch=4",
                                         "train.global_batch=8",
                                         "train.warmup_steps=0",
                                         "train.learning_rate=0.01",
                                         "train.steps=10"};
    settings.insert(settings.end(), GetParam().settings.begin(), GetParam().settings.end());
    const spec::RunConfig config = spec::resolve("tiny", settings).config;
    const auto rows = [&](int64_t step, int64_t row, std::span<int32_t> out) {
      for (size_t i = 0; i < out.size(); ++i) {  // squared draws: some ids are common, so experts are loaded unevenly
        const double u = static_cast<double>(base::random_bits(uint64_t(step), uint64_t(row), i) >> 11) * 0x1p-53;
        out[i] = static_cast<int32_t>(u * u * static_cast<double>(config.model.vocab_size));
      }
    };
    const corpus::RowBatches batches(rows, {4, 8, 512});
    Trainer trainer(config, batches, {}, {moe::torch_parallel_for()});
    Outcome outcome;
    for (int step = 0; step < 2; ++step) {
      const StepRecord record = trainer.step();
      outcome.losses.push_back(record.loss);
      outcome.balance.push_back(record.balance_loss);
      outcome.norms.push_back(record.grad_norm);
    }
    for (const auto& tensor : trainer.model().tensors()) outcome.values.push_back(tensor.value.clone());
    return outcome;
  }

  void TearDown() override { at::set_num_threads(threads_before_); }
  int threads_before_ = at::get_num_threads();
};

TEST_P(Bits, DoNotDependOnThreads) {
  if (moe::composed(torch::zeros({1}))) GTEST_SKIP() << "LibTorch's own sums differ between thread counts";
  const Outcome one = run(1);
  for (const int threads : {1, 2, 3}) {
    const Outcome other = run(threads);
    EXPECT_EQ(other.losses, one.losses) << threads << " threads";
    EXPECT_EQ(other.balance, one.balance) << threads << " threads";
    EXPECT_EQ(other.norms, one.norms) << threads << " threads";
    ASSERT_EQ(other.values.size(), one.values.size());
    for (size_t i = 0; i < one.values.size(); ++i) {
      EXPECT_TRUE(other.values[i].equal(one.values[i])) << threads << " threads, tensor " << i;
    }
  }
}

// On LibTorch's operations too, the same number of threads gives the same bits.
TEST_P(Bits, AreTheSameRunAfterRun) {
  const Outcome first = run(2), second = run(2);
  EXPECT_EQ(first.losses, second.losses);
  for (size_t i = 0; i < first.values.size(); ++i) EXPECT_TRUE(first.values[i].equal(second.values[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Gates, Bits,
    ::testing::Values(
        BitsCase{"topk_bf16", {"train.aux_loss_alpha=0.01", "train.z_loss_alpha=0.001"}},
        BitsCase{"topk_f32", {"train.aux_loss_alpha=0.01", "train.seq_aux=false", "train.precision=f32"}},
        BitsCase{"recomputed", {"train.aux_loss_alpha=0.01", "train.recompute=true"}},
        BitsCase{"devices",
                 {"train.device_aux_loss_alpha=0.05", "train.comm_aux_loss_alpha=0.02", "train.n_device_groups=4"}},
        BitsCase{"bias",
                 {"model.topk_method=noaux_tc", "model.scoring_func=sigmoid", "model.norm_topk_prob=true",
                  "train.bias_update_rate=0.001"}},
        BitsCase{"gshard",
                 {"model.router_type=gshard", "model.num_experts_per_tok=2", "train.capacity_factor=1.25",
                  "train.random_second_expert=true", "train.first_choice_aux=true", "train.aux_loss_alpha=0.01"}},
        BitsCase{"hash", {"model.router_type=hash", "train.aux_loss_alpha=0"}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dsmoe::train
