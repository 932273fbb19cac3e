// Several ranks train as one: in float64 every figure of every step, each moment and weight; in float32 the same bits
// on every rank and in every repetition. Ranks are threads of this process.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <numeric>

#include "base/rng.h"
#include "comm/threads.h"
#include "moe/composed.h"
#include "spec/settings.h"
#include "train/trainer.h"

namespace dsmoe::train {
namespace {

constexpr double kLaw = 1e-10;

/// What a run of a few steps came to, as the first rank has it.
struct Outcome {
  std::vector<StepRecord> steps;
  std::map<std::string, torch::Tensor> values;  ///< as checkpoints name them, from whichever rank has them
  std::vector<torch::Tensor> first, second;
  std::vector<int64_t> state_bytes;  ///< of each rank
};

struct Case {
  const char* name;
  int64_t micro_batches;
  int devices;  ///< train.n_device_groups where a loss balances them, else any multiple of the ranks
  std::vector<std::string> settings;
};

/// Ranks, of which `expert` have the experts between them.
struct Shape {
  int ranks, expert;
};

class Law : public ::testing::TestWithParam<Case> {
 protected:
  Law() { at::set_num_threads(1); }
  ~Law() override { at::set_num_threads(threads_before_); }

  spec::RunConfig config(int expert) const {
    std::vector<std::string> settings = {"model.vocab_size=40",
                                         "model.hidden_size=16",
                                         "model.intermediate_size=24",
                                         "model.num_hidden_layers=2",
                                         "model.moe_intermediate_size=8",
                                         "model.max_position_embeddings=16",
                                         "train.sequence_length=16",
                                         "train.micro_batch=2",
                                         "train.warmup_steps=2",
                                         "train.learning_rate=0.01",
                                         "train.steps=20",
                                         "train.clip_norm=0.5",
                                         "parallel.expert=" + std::to_string(expert),
                                         "train.global_batch=" + std::to_string(2 * GetParam().micro_batches)};
    settings.insert(settings.end(), GetParam().settings.begin(), GetParam().settings.end());
    return spec::resolve("tiny", settings).config;
  }

  Outcome run(const Shape& shape, int steps, bool in_double) const {
    const int ranks = shape.ranks;
    const spec::RunConfig c = config(shape.expert);
    const auto rows = [&](int64_t step, int64_t row, std::span<int32_t> out) {
      for (size_t i = 0; i < out.size(); ++i) {  // squared draws: some ids are common, so experts are loaded unevenly
        const double u = base::unit_interval(base::random_bits(uint64_t(step), uint64_t(row), i));
        out[i] = static_cast<int32_t>(u * u * static_cast<double>(c.model.vocab_size));
      }
    };
    const corpus::RowBatches batches(rows, {2, c.train.global_batch, 16});
    Outcome outcome;
    outcome.state_bytes.resize(static_cast<size_t>(ranks));
    std::mutex mutex;
    comm::on_threads(ranks, [&](const comm::Group& group) {
      Trainer trainer(c, batches, {}, {base::serial_for, group, in_double});
      std::vector<StepRecord> records;
      for (int step = 0; step < steps; ++step) records.push_back(trainer.step());
      AdamW& optimizer = trainer.optimizer();
      std::vector<torch::Tensor> first, second;
      for (size_t i = 0; i < optimizer.parameters().size(); ++i) {
        first.push_back(optimizer.first_moment(i));
        second.push_back(optimizer.second_moment(i));
      }
      const std::lock_guard lock(mutex);
      outcome.state_bytes[static_cast<size_t>(group.rank())] = optimizer.state_bytes();
      if (!outcome.steps.empty()) expect_same_steps(outcome.steps, records);  // ranks among themselves
      outcome.steps = records;
      for (const model::NamedTensor& tensor : trainer.model().tensors()) {
        if (!tensor.value.defined()) continue;
        const auto [found, added] = outcome.values.emplace(tensor.spec.name, tensor.value);
        EXPECT_TRUE(found->second.equal(tensor.value)) << tensor.spec.name;
      }
      if (group.first()) {
        outcome.first = first;
        outcome.second = second;
      }
    });
    return outcome;
  }

  static void expect_same_steps(const std::vector<StepRecord>& a, const std::vector<StepRecord>& b) {
    for (size_t s = 0; s < a.size(); ++s) {
      EXPECT_EQ(a[s].loss, b[s].loss);
      EXPECT_EQ(a[s].grad_norm, b[s].grad_norm);
    }
  }

  static void expect_near(const torch::Tensor& a, const torch::Tensor& b, const std::string& what) {
    const double scale = std::max(1e-300, b.abs().max().item<double>());
    EXPECT_LT((a - b).abs().max().item<double>() / scale, kLaw) << what;
  }

  int threads_before_ = at::get_num_threads();
};

TEST_P(Law, AnyNumberOfRanksTrainsAsOneDoes) {
  if (moe::composed(torch::zeros({1}))) GTEST_SKIP() << "float64 is composed either way";
  const Outcome one = run({1, 1}, 20, true);
  for (const auto& [ranks, expert] : {Shape{2, 1}, Shape{2, 2}, Shape{4, 1}, Shape{4, 2}, Shape{4, 4}}) {
    const Outcome many = run({ranks, expert}, 20, true);
    for (size_t s = 0; s < one.steps.size(); ++s) {
      SCOPED_TRACE(std::to_string(ranks) + " ranks, experts over " + std::to_string(expert) + ", step " +
                   std::to_string(s + 1));
      const StepRecord &a = many.steps[s], &b = one.steps[s];
      EXPECT_NEAR(a.loss, b.loss, kLaw);
      EXPECT_NEAR(a.balance_loss, b.balance_loss, kLaw);
      EXPECT_NEAR(a.grad_norm, b.grad_norm, kLaw);
      EXPECT_EQ(a.tokens, b.tokens);
      EXPECT_EQ(a.dropped(), b.dropped());
      for (size_t l = 0; l < b.layers.size(); ++l) EXPECT_EQ(a.layers[l].counts_E, b.layers[l].counts_E);
    }
    ASSERT_EQ(many.values.size(), one.values.size());
    for (const auto& [name, value] : one.values) expect_near(many.values.at(name), value, name);
    for (size_t i = 0; i < one.first.size(); ++i) {
      expect_near(many.first[i], one.first[i], "mean gradient " + std::to_string(i));
      expect_near(many.second[i], one.second[i], "squared gradient " + std::to_string(i));
    }
  }
}

TEST_P(Law, TheSameRanksGiveTheSameBits) {
  for (const Shape& shape : {Shape{3, 1}, Shape{4, 2}, Shape{3, 3}}) {
    if (GetParam().devices % shape.expert != 0) continue;
    const Outcome first = run(shape, 3, false), second = run(shape, 3, false);
    expect_same_steps(first.steps, second.steps);
    for (const auto& [name, value] : first.values) EXPECT_TRUE(second.values.at(name).equal(value)) << name;
    for (size_t i = 0; i < first.first.size(); ++i) EXPECT_TRUE(first.first[i].equal(second.first[i])) << i;
  }
}

TEST_P(Law, ARankKeepsItsShareOfTheOptimisersState) {
  const std::vector<int64_t> one = run({1, 1}, 1, false).state_bytes;
  for (const int expert : {1, 2, 4}) {
    const std::vector<int64_t> four = run({4, expert}, 1, false).state_bytes;
    for (const int64_t bytes : four) EXPECT_LE(static_cast<double>(bytes), 0.27 * static_cast<double>(one.front()));
    EXPECT_EQ(std::accumulate(four.begin(), four.end(), int64_t{0}), one.front());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Recipes, Law,
    ::testing::Values(
        Case{"balanced",
             4,
             4,
             {"train.aux_loss_alpha=0.1", "train.z_loss_alpha=0.01", "train.n_device_groups=4",
              "train.device_aux_loss_alpha=0.05", "train.comm_aux_loss_alpha=0.02"}},
        Case{"uneven", 3, 12, {"train.aux_loss_alpha=0.1", "train.seq_aux=false", "train.capacity_factor=1"}},
        Case{"bias",
             4,
             12,
             {"model.topk_method=noaux_tc", "model.scoring_func=sigmoid", "model.norm_topk_prob=true",
              "train.aux_loss_alpha=0", "train.bias_update_rate=0.01"}},
        Case{"experts_that_do_not_divide",
             4,
             12,
             {"model.n_routed_experts=63", "train.aux_loss_alpha=0.1", "train.recompute=true"}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dsmoe::train
