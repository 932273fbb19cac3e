#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/part_clock.h"
#include "base/rng.h"
#include "moe/bias_balancer.h"
#include "train/layer_loads.h"
#include "train/model_batch.h"
#include "train/rank_sums.h"
#include "train/schedule.h"

namespace dsmoe::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kRoutingStream = 0x726f757465;  // random second experts: a stream of their own

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

moe::TrainingOptions training_options(const spec::TrainConfig& t) {
  return {.aux_loss_alpha = t.aux_loss_alpha,
          .seq_aux = t.seq_aux,
          .first_choice_aux = t.first_choice_aux,
          .device_aux_loss_alpha = t.device_aux_loss_alpha,
          .comm_aux_loss_alpha = t.comm_aux_loss_alpha,
          .n_device_groups = t.n_device_groups,
          .z_loss_alpha = t.z_loss_alpha,
          .capacity_factor = t.capacity_factor,
          .random_second_expert = t.random_second_expert};
}

model::TransformerOptions transformer_options(const spec::TrainConfig& t, const TrainerOptions& options,
                                              const comm::Mesh& mesh) {
  if (options.in_double)
    return {.compute = torch::kFloat64,
            .master = torch::kFloat64,
            .recompute = t.recompute,
            .adapters = {},
            .expert_ranks = mesh.neighbours()};
  return {.compute = t.precision == spec::Precision::kBf16 ? torch::kBFloat16 : torch::kFloat32,
          .master = torch::kFloat32,
          .recompute = t.recompute,
          .adapters = {.rank = t.lora_rank, .alpha = t.lora_alpha, .targets = t.lora_targets},
          .expert_ranks = mesh.neighbours(),
          .base = options.base};
}

// Matrices decay; norms do not (nor biases: router biases are no parameters at all).
std::vector<Parameter> optimised(const model::Transformer& model) {
  std::vector<Parameter> parameters;
  for (const model::Parameter& p : model.parameters()) {
    parameters.push_back({p.name, p.value, p.role != spec::TensorRole::kNorm, p.weight, p.experts});
  }
  return parameters;
}

}  // namespace

comm::Mesh mesh_of(const spec::ParallelConfig& parallel, const comm::Group& ranks) {
  if (ranks.size() % parallel.expert != 0) {
    base::fail_invalid("parallel", "expert must divide the number of processes",
                       std::to_string(parallel.expert) + " and " + std::to_string(ranks.size()),
                       "dsmoe launch -n N starts N of them");
  }
  return comm::Mesh(ranks, static_cast<int>(parallel.expert));
}

Trainer::Trainer(const spec::RunConfig& config, const corpus::BatchSource& batches,
                 std::span<const int64_t> token_frequencies, const TrainerOptions& options)
    : config_(config),
      mesh_(mesh_of(config.parallel, options.group)),
      batches_(batches),
      model_(config.model, training_options(config.train), transformer_options(config.train, options, mesh_)),
      optimizer_(optimised(model_),
                 {.beta1 = config.train.beta1,
                  .beta2 = config.train.beta2,
                  .eps = config.train.adam_eps,
                  .weight_decay = config.train.weight_decay},
                 options.parallel_for, mesh_) {
  model_.initialise(static_cast<uint64_t>(config.train.seed), token_frequencies);
}

model::Batch Trainer::read_batch(int64_t micro) const {
  corpus::TokenBatch texts;
  batches_.read(step_, micro, texts);
  model::Batch batch = model_batch(texts);
  const auto index = static_cast<uint64_t>(step_ * config_.train.micro_batches() + micro);
  batch.random_key = base::random_bits(static_cast<uint64_t>(config_.train.seed), kRoutingStream, index);
  return batch;
}

void Trainer::go_through(int64_t micro, const model::BatchTotals& totals, StepRecord& record) {
  const model::StepOutput output = model_.forward_loss(read_batch(micro), totals);
  output.total().backward();
  record.loss += output.loss.item<double>();
  record.balance_loss += output.balance_loss.item<double>();
  add_loads(output.routings, record.layers);
}

void Trainer::take_part(const model::BatchTotals& totals) {
  if (!mesh_.neighbours().alone()) model_.forward_loss(idle_batch(), totals).total().backward();
}

StepRecord Trainer::step() {
  const auto start = Clock::now();
  const spec::TrainConfig& train = config_.train;
  const corpus::StepSize size = batches_.size(step_);
  const model::BatchTotals totals{.targets = static_cast<double>(size.targets),
                                  .tokens = static_cast<double>(size.tokens)};
  StepRecord record;
  record.layers = empty_loads(config_.model);

  const int64_t all = batches_.micro_batches(step_), ranks = mesh_.world().size();
  const comm::Stretch own = mesh_.world().share(all);
  for (int64_t micro = own.begin; micro < own.end; ++micro) go_through(micro, totals, record);
  for (int64_t done = own.size(); done < (all + ranks - 1) / ranks; ++done) take_part(totals);

  const base::Part part("optimizer");
  sum_over_ranks(record);
  record.grad_norm = optimizer_.gradient_norm();
  require_finite(record.loss + record.balance_loss, record.grad_norm);
  record.lr = learning_rate(train, step_);
  optimizer_.update(record.lr, clip_scale(record.grad_norm, train.clip_norm));
  move_router_biases(record.layers);

  record.step = ++step_;
  record.tokens = tokens();
  record.tokens_per_s = totals.tokens / seconds_since(start);
  return record;
}

void Trainer::sum_over_ranks(StepRecord& record) {
  RankSums sums;
  sums.add(record.loss);
  sums.add(record.balance_loss);
  sums.add(record.layers);
  sums.over(mesh_.world());
  optimizer_.sum_gradients();
}

void Trainer::move_router_biases(const std::vector<LayerLoad>& loads) {
  const spec::TrainConfig& train = config_.train;
  if (train.bias_update_rate == 0) return;
  const bool sign = train.bias_update_rule == spec::BiasUpdateRule::kSign;
  const moe::BiasBalancer balancer(train.bias_update_rate, sign ? moe::BiasRule::kSign : moe::BiasRule::kProportional);
  for (size_t i = 0; i < loads.size(); ++i) {
    balancer.update(model_.router_biases()[i], torch::tensor(loads[i].counts_E, torch::kLong));
  }
}

void Trainer::require_finite(double loss, double grad_norm) const {
  if (std::isfinite(loss) && std::isfinite(grad_norm)) return;
  base::fail(base::ErrorKind::kNonFinite, "train",
             std::isfinite(loss) ? "the gradient is not finite" : "the loss is not finite",
             "step " + std::to_string(step_ + 1) + ", loss " + std::to_string(loss) + ", gradient norm " +
                 std::to_string(grad_norm),
             "the weights are as they were before this step");
}

double measure_step_seconds(const spec::RunConfig& config, const RunData& data, const TrainerOptions& options) {
  constexpr int kWarmUp = 2, kAtLeast = 3, kAtMost = 20;
  constexpr double kLongEnough = 5;  // seconds
  Trainer trainer(config, *data.batches, data.token_frequencies, options);
  for (int i = 0; i < kWarmUp; ++i) trainer.step();
  std::vector<double> seconds;
  const auto start = Clock::now();
  while (seconds.size() < kAtLeast || (seconds.size() < kAtMost && seconds_since(start) < kLongEnough)) {
    const auto begin = Clock::now();
    trainer.step();
    seconds.push_back(seconds_since(begin));
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2), seconds.end());
  return seconds[seconds.size() / 2];
}

int64_t steps_for_minutes(const spec::TrainConfig& train, double step_seconds, double seconds_spent) {
  // A forward pass is about a third of a step of as many tokens.
  const double validation =
      step_seconds / 3 * static_cast<double>(train.validate_tokens) / static_cast<double>(train.tokens_per_step());
  double per_step = step_seconds;
  if (train.validate_every > 0) per_step += validation / static_cast<double>(train.validate_every);
  const double seconds = train.minutes * 60 - seconds_spent - validation;
  return std::max<int64_t>(1, static_cast<int64_t>(seconds / per_step));
}

}  // namespace dsmoe::train
