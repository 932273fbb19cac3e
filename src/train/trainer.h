// One training step, repeated: the model, its optimiser and its place in the run.
//
// step() is the whole algorithm, readable in one go (trainer.cpp). What surrounds it, records, validation, checkpoints,
// signals, is loop.h's. Everything a step computes is a function of the configuration, the data and the step number.
#pragma once

#include <memory>
#include <span>

#include "base/parallel.h"
#include "comm/mesh.h"
#include "corpus/batch_source.h"
#include "formats/gguf_model.h"
#include "model/transformer.h"
#include "spec/run_config.h"
#include "train/optimizer.h"
#include "train/record.h"
#include "train/run_data.h"

namespace dsmoe::train {

/// What computes a step.
struct TrainerOptions {
  base::ParallelFor parallel_for = base::serial_for;
  comm::Group group = {};  ///< the ranks that share it: each takes a stretch of a step's micro-batches
  bool in_double = false;  ///< everything in float64, for tests of laws
  /// Weights that stay in this file while adapters train beside them; null: the model's are in memory.
  std::shared_ptr<const formats::GgufModel> base = {};
};

/// How the ranks of a run share out its experts. Throws Error(kInvalid) where parallel.expert does not divide them.
comm::Mesh mesh_of(const spec::ParallelConfig& parallel, const comm::Group& ranks);

class Trainer {
 public:
  /// Initialises the model from train.seed; `token_frequencies` (may be empty) shape a balanced hash table. `batches`
  /// must outlive this.
  Trainer(const spec::RunConfig& config, const corpus::BatchSource& batches, std::span<const int64_t> token_frequencies,
          const TrainerOptions& options);

  /// batch -> micro-batches: forward, loss, backward -> sums over ranks -> clip, AdamW, schedule -> router biases.
  /// Every rank returns the record of the whole step. Throws Error(kNonFinite) before anything is changed when the loss
  /// or the gradient is not finite.
  StepRecord step();

  int64_t steps_done() const { return step_; }
  int64_t tokens() const { return batches_.tokens_before(step_); }
  /// After the weights and moments of `step` have been loaded.
  void go_to(int64_t step) { step_ = step; }

  model::Transformer& model() { return model_; }
  const model::Transformer& model() const { return model_; }
  AdamW& optimizer() { return optimizer_; }
  const AdamW& optimizer() const { return optimizer_; }
  const spec::RunConfig& config() const { return config_; }

 private:
  model::Batch read_batch(int64_t micro) const;
  /// Forward and backward.
  void go_through(int64_t micro, const model::BatchTotals& totals, StepRecord& record);
  /// The same without a micro-batch, beside ranks that have one.
  void take_part(const model::BatchTotals& totals);
  /// Of what each rank found and of its gradients.
  void sum_over_ranks(StepRecord& record);
  /// Loss-free balancing, by the loads of the whole step.
  void move_router_biases(const std::vector<LayerLoad>& loads);
  void require_finite(double loss, double grad_norm) const;

  spec::RunConfig config_;
  comm::Mesh mesh_;
  const corpus::BatchSource& batches_;
  model::Transformer model_;
  AdamW optimizer_;
  int64_t step_ = 0;
};

/// Seconds that a step of this configuration takes on this machine: the median of a few, on a trainer that is thrown
/// away, so that measuring leaves no trace in the run.
double measure_step_seconds(const spec::RunConfig& config, const RunData& data, const TrainerOptions& options);

/// The number of steps that fill train.minutes at that speed, validations included; at least 1.
int64_t steps_for_minutes(const spec::TrainConfig& train, double step_seconds, double seconds_spent);

}  // namespace dsmoe::train
