#include "spec/run_config.h"

#include <charconv>
#include <limits>

#include "base/checked.h"
#include "spec/adapter.h"
#include "spec/enum_names.h"
#include "spec/rules.h"
#include "spec/trained_experts.h"

namespace dsmoe::spec {

std::string number_text(double value) {
  char digits[64];
  return std::string(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

namespace {

constexpr int64_t kMostSteps = int64_t{1} << 40;
constexpr int64_t kMostSequences = 1 << 24;

void validate_batches(const TrainConfig& t, const ModelConfig& m, std::string_view where) {
  in_range(where, "seed", t.seed, 0, std::numeric_limits<int64_t>::max());
  in_range(where, "steps", t.steps, 1, kMostSteps);
  in_range(where, "minutes", t.minutes, 0.0, 1e7);
  in_range(where, "sequence_length", t.sequence_length, 1, kMostSequences);
  require(t.sequence_length <= m.max_position_embeddings, where,
          "sequence_length must not exceed model.max_position_embeddings",
          std::to_string(t.sequence_length) + " and " + std::to_string(m.max_position_embeddings));
  in_range(where, "micro_batch", t.micro_batch, 1, kMostSequences);
  in_range(where, "global_batch", t.global_batch, 1, kMostSequences);
  require(t.global_batch % t.micro_batch == 0, where, "global_batch must be a multiple of micro_batch",
          std::to_string(t.global_batch) + " and " + std::to_string(t.micro_batch),
          "a step is made of whole micro-batches");
  int64_t tokens = 0;
  require(base::multiply(t.tokens_per_step(), t.steps, tokens), where, "the run's tokens cannot be counted in 64 bits",
          std::to_string(t.steps) + " steps of " + std::to_string(t.tokens_per_step()));
}

void validate_optimiser(const TrainConfig& t, std::string_view where) {
  in_range(where, "learning_rate", t.learning_rate, 0.0, 100.0);
  in_range(where, "warmup_steps", t.warmup_steps, 0, kMostSteps);
  in_range(where, "min_learning_rate_ratio", t.min_learning_rate_ratio, 0.0, 1.0);
  in_range(where, "decay_factor", t.decay_factor, 0.0, 1.0);
  double last = 0;
  for (const double point : t.decay_points) {
    require(point > last && point <= 1, where, "decay_points must rise between 0 and 1", number_text(point));
    last = point;
  }
  require(t.beta1 >= 0 && t.beta1 < 1, where, "beta1 must be at least 0 and below 1", number_text(t.beta1));
  require(t.beta2 >= 0 && t.beta2 < 1, where, "beta2 must be at least 0 and below 1", number_text(t.beta2));
  inside(where, "adam_eps", t.adam_eps, 0, 1);
  in_range(where, "weight_decay", t.weight_decay, 0.0, 10.0);
  in_range(where, "clip_norm", t.clip_norm, 0.0, 1e6);
}

/// A setting that would do nothing is refused, not ignored: somebody meant it to do something.
void validate_balance(const TrainConfig& t, const ModelConfig& m, std::string_view where) {
  const auto loss = [&](const char* name, double alpha) {
    in_range(where, name, alpha, 0.0, 1e3);
    require(alpha == 0 || (m.is_moe() && m.has_router_weight()), where,
            std::string(name) + " must be 0 for a model without a learned router", number_text(alpha),
            m.is_moe() ? "a hash router has nothing to balance" : "the model is dense");
  };
  loss("aux_loss_alpha", t.aux_loss_alpha);
  loss("device_aux_loss_alpha", t.device_aux_loss_alpha);
  loss("comm_aux_loss_alpha", t.comm_aux_loss_alpha);
  loss("z_loss_alpha", t.z_loss_alpha);
  in_range(where, "n_device_groups", t.n_device_groups, 1, 1 << 16);
  if (m.is_moe()) {
    require(m.n_routed_experts % t.n_device_groups == 0, where, "n_device_groups must divide model.n_routed_experts",
            std::to_string(t.n_device_groups) + " and " + std::to_string(m.n_routed_experts));
  }
  require(t.n_device_groups > 1 || (t.device_aux_loss_alpha == 0 && t.comm_aux_loss_alpha == 0), where,
          "device_aux_loss_alpha and comm_aux_loss_alpha need n_device_groups above 1",
          std::to_string(t.n_device_groups));
  in_range(where, "capacity_factor", t.capacity_factor, 0.0, 1e6);
  require(!t.random_second_expert || (m.is_moe() && m.router_type == RouterType::kGshard), where,
          "random_second_expert must be false unless model.router_type is gshard", "true");
  in_range(where, "bias_update_rate", t.bias_update_rate, 0.0, 10.0);
  require(t.bias_update_rate == 0 || (m.is_moe() && m.has_router_bias()), where,
          "bias_update_rate must be 0 unless model.topk_method is noaux_tc", number_text(t.bias_update_rate),
          "only noaux_tc has a bias to move");
}

/// Without adapters targets other than all are the experts that train.
void validate_trained_experts(const TrainConfig& t, const ModelConfig& m, std::string_view where) {
  if (!names_experts(t.lora_targets)) return;
  require(t.bias_update_rate == 0, where, "bias_update_rate must be 0 where lora_targets names experts that train",
          number_text(t.bias_update_rate), "all else stays as it is");
  routed_experts(m, t.lora_targets, where);
}

void validate_adapters(const TrainConfig& t, const ModelConfig& m, std::string_view where) {
  in_range(where, "lora_rank", t.lora_rank, 0, 1 << 16);
  in_range(where, "lora_alpha", t.lora_alpha, 0.0, 1e6);
  if (t.lora_rank == 0) return validate_trained_experts(t, m, where);
  require(t.lora_rank <= m.hidden_size, where, "lora_rank must be at most model.hidden_size",
          std::to_string(t.lora_rank) + " and " + std::to_string(m.hidden_size));
  require(t.bias_update_rate == 0, where, "bias_update_rate must be 0 with lora_rank above 0",
          number_text(t.bias_update_rate), "the base stays as it is");
  adapted_tensors(m, t.lora_targets, where);
}

void validate_habits(const TrainConfig& t, std::string_view where) {
  in_range(where, "log_every", t.log_every, 1, kMostSteps);
  in_range(where, "validate_every", t.validate_every, 0, kMostSteps);
  in_range(where, "validate_tokens", t.validate_tokens, 0, kMostSteps);
  in_range(where, "checkpoint_every", t.checkpoint_every, 0, kMostSteps);
  in_range(where, "keep_checkpoints", t.keep_checkpoints, 1, 1 << 20);
  in_range(where, "sample_every", t.sample_every, 0, kMostSteps);
}

void validate_data(const DataConfig& data) {
  double sum = 0;
  for (const auto& [domain, weight] : data.weights) {
    require(!domain.empty(), "data", "a domain in weights must have a name", "\"\"");
    in_range("data", ("weights." + base::in_quotes(domain)).c_str(), weight, 0.0, 1e9);
    sum += weight;
  }
  require(data.weights.empty() || sum > 0, "data", "weights must not all be 0", "0");
}

// Losses are the same however experts are spread, so a rule here is one of sense: what is balanced as a device must be
// held by one process.
void validate_parallel(const RunConfig& config) {
  const auto& [model, train, data, output, parallel, plan] = config;
  in_range("parallel", "expert", parallel.expert, 1, 1 << 16);
  if (parallel.expert == 1) return;
  require(model.is_moe(), "parallel", "expert must be 1 for a dense model", std::to_string(parallel.expert));
  require(parallel.expert <= model.n_routed_experts, "parallel", "expert must be at most model.n_routed_experts",
          std::to_string(parallel.expert) + " and " + std::to_string(model.n_routed_experts));
  require(train.lora_rank == 0 && train.lora_targets == "all", "parallel", "expert must be 1 unless all weights train",
          std::to_string(parallel.expert), "train.lora_rank and train.lora_targets choose what does");
  const bool by_device = train.device_aux_loss_alpha > 0 || train.comm_aux_loss_alpha > 0;
  require(!by_device || train.n_device_groups % parallel.expert == 0, "parallel",
          "expert must divide train.n_device_groups where a loss balances devices",
          std::to_string(parallel.expert) + " and " + std::to_string(train.n_device_groups),
          "else a group would lie on two processes");
}

}  // namespace

void validate(const TrainConfig& train, const ModelConfig& model, std::string_view where) {
  validate_batches(train, model, where);
  validate_optimiser(train, where);
  validate_balance(train, model, where);
  validate_adapters(train, model, where);
  validate_habits(train, where);
}

void validate(const RunConfig& config) {
  validate(config.model, "model");
  validate(config.train, config.model, "train");
  validate_data(config.data);
  validate_parallel(config);
  in_range("plan", "nominal_ffn", config.plan.nominal_ffn, 0.0, 1e6);
  in_range("plan", "flops_per_second", config.plan.flops_per_second, 0.0, 1e30);
  in_range("plan", "ranks", config.plan.ranks, 1, 1 << 20);
  in_range("plan", "link_bytes_per_second", config.plan.link_bytes_per_second, 0.0, 1e30);
}

}  // namespace dsmoe::spec
