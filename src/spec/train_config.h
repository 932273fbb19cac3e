// What a training run is, in numbers: batches, optimiser, schedule, balance, and how often to look and to save.
//
// Names follow the released model's code where it has one (aux_loss_alpha, seq_aux). Defaults are the paper's
// (section 4.1.3): AdamW 0.9, 0.95, 0.1, clip 1.0, a linear warm-up, and the rate times 0.316 at 80 % and 90 % of the
// steps. Nothing here knows how a step is done.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spec/model_config.h"

namespace dsmoe::spec {

/// What the products are computed in. Master weights, moments and the router are float32 either way.
enum class Precision { kBf16, kF32 };
/// The learning rate after the warm-up: in steps down, along half a cosine, or unchanged.
enum class Schedule { kMultistep, kCosine, kConstant };
/// How the balance bias moves: by bias_update_rate against the sign of an expert's excess, or in proportion to it.
enum class BiasUpdateRule { kSign, kProportional };

constexpr std::array<std::string_view, 2> enum_names(Precision) { return {"bf16", "f32"}; }
constexpr std::array<std::string_view, 3> enum_names(Schedule) { return {"multistep", "cosine", "constant"}; }
constexpr std::array<std::string_view, 2> enum_names(BiasUpdateRule) { return {"sign", "proportional"}; }

struct TrainConfig {
  int64_t seed = 1;
  int64_t steps = 1000;
  double minutes = 0;  ///< when > 0 the trainer measures its speed, fixes `steps` by it and writes that down
  int64_t sequence_length = 512;
  int64_t micro_batch = 8;
  int64_t global_batch = 8;
  Precision precision = Precision::kBf16;
  bool recompute = false;

  double learning_rate = 1e-3;
  int64_t warmup_steps = 100;
  Schedule schedule = Schedule::kMultistep;
  double min_learning_rate_ratio = 0.1;
  double decay_factor = 0.316;
  std::vector<double> decay_points = {0.8, 0.9};
  double beta1 = 0.9;
  double beta2 = 0.95;
  double adam_eps = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;

  double aux_loss_alpha = 0;
  bool seq_aux = true;
  bool first_choice_aux = false;
  double device_aux_loss_alpha = 0;
  int64_t n_device_groups = 1;
  double comm_aux_loss_alpha = 0;
  double z_loss_alpha = 0;
  double capacity_factor = 0;
  bool random_second_expert = false;
  double bias_update_rate = 0;
  BiasUpdateRule bias_update_rule = BiasUpdateRule::kSign;

  int64_t lora_rank = 0;
  double lora_alpha = 16;
  std::string lora_targets = "all";

  int64_t log_every = 10;
  int64_t validate_every = 500;
  int64_t validate_tokens = 65536;
  int64_t checkpoint_every = 500;
  int64_t keep_checkpoints = 2;
  int64_t sample_every = 0;

  int64_t micro_batches() const { return global_batch / micro_batch; }
  int64_t tokens_per_step() const { return global_batch * sequence_length; }

  bool operator==(const TrainConfig&) const = default;
};

/// Throws Error(kInvalid) naming the first impossible setting, for itself and for this model: a global batch that is
/// no multiple of the micro-batch, a sequence longer than the model takes, a balance loss without a router, device
/// groups not dividing the experts, rates out of range.
void validate(const TrainConfig& train, const ModelConfig& model, std::string_view where = "train");

/// The fields once: name, member, what it is (see visit_model_fields).
template <class Config, class Visit>
void visit_train_fields(Config& c, Visit&& visit) {
  visit("seed", c.seed, "everything random follows from it");
  visit("steps", c.steps, "optimiser steps");
  visit("minutes", c.minutes, "0: off; else steps are fixed by the speed measured at the start, to take this long");
  visit("sequence_length", c.sequence_length, "tokens of one training sequence");
  visit("micro_batch", c.micro_batch, "sequences in one forward and backward pass");
  visit("global_batch", c.global_batch, "sequences in one step; a multiple of micro_batch");
  visit("precision", c.precision, "of the products: bf16 or f32; master weights and router are float32 either way");
  visit("recompute", c.recompute, "keep only block inputs and compute the rest again backward: less memory, more time");
  visit("learning_rate", c.learning_rate, "the largest rate, reached after the warm-up");
  visit("warmup_steps", c.warmup_steps, "steps of linear warm-up from zero");
  visit("schedule", c.schedule, "after the warm-up: multistep, cosine or constant");
  visit("min_learning_rate_ratio", c.min_learning_rate_ratio, "where the cosine ends, as a part of learning_rate");
  visit("decay_factor", c.decay_factor, "multistep: multiplies the rate at each decay point");
  visit("decay_points", c.decay_points, "multistep: where the rate falls, as parts of the run");
  visit("beta1", c.beta1, "AdamW: decay of the first moment");
  visit("beta2", c.beta2, "AdamW: decay of the second moment");
  visit("adam_eps", c.adam_eps, "AdamW: added to the root of the second moment");
  visit("weight_decay", c.weight_decay, "AdamW: of matrices; norms and biases are not decayed");
  visit("clip_norm", c.clip_norm, "largest norm of the whole gradient; 0: no clipping");
  visit("aux_loss_alpha", c.aux_loss_alpha, "weight of the expert-level balance loss of each layer");
  visit("seq_aux", c.seq_aux, "that loss for each sequence, then averaged; false: over the micro-batch");
  visit("first_choice_aux", c.first_choice_aux, "that loss counts each token's first choice only (original GShard)");
  visit("device_aux_loss_alpha", c.device_aux_loss_alpha, "weight of the device-level balance loss");
  visit("n_device_groups", c.n_device_groups, "groups of neighbouring experts that balance as devices");
  visit("comm_aux_loss_alpha", c.comm_aux_loss_alpha, "weight of the communication balance loss");
  visit("z_loss_alpha", c.z_loss_alpha, "weight of the squared log-sum-exp of the router logits");
  visit("capacity_factor", c.capacity_factor, "tokens an expert takes, over the even share; 0: dropless");
  visit("random_second_expert", c.random_second_expert, "visit the second expert with probability 2 g2 (GShard)");
  visit("bias_update_rate", c.bias_update_rate, "speed of the balance bias (loss-free balancing); 0: it stays");
  visit("bias_update_rule", c.bias_update_rule, "sign or proportional");
  visit("lora_rank", c.lora_rank, "rank of the adapters that are trained beside frozen weights; 0: the weights train");
  visit("lora_alpha", c.lora_alpha, "an adapter's output is scaled by lora_alpha / lora_rank");
  visit("lora_targets", c.lora_targets,
        "where adapters are: attention, dense, shared, experts, all, or parts of names");
  visit("log_every", c.log_every, "steps between TensorBoard points and printed lines; metrics.jsonl has every step");
  visit("validate_every", c.validate_every, "steps between validations; 0: only at the end");
  visit("validate_tokens", c.validate_tokens, "tokens of one validation; 0: the whole split");
  visit("checkpoint_every", c.checkpoint_every, "steps between checkpoints; 0: only at the end");
  visit("keep_checkpoints", c.keep_checkpoints, "newest checkpoints that stay");
  visit("sample_every", c.sample_every, "steps between written samples; 0: none");
}

}  // namespace dsmoe::spec
