// How large and how dear a model is, from its numbers alone: parameters, FLOPs, bytes, communication, time.
//
// Parameters are counted twice, by closed formula here and by walking for_each_tensor (`walk_parameters`); tests hold
// the two equal. FLOPs follow the paper's own way of counting, which prints the figures of its tables (docs/papers.md).
// Bytes of training are a model of what our trainer keeps; the terms are named so that it can be compared with a
// measurement, and the rest is an estimate that says what it leaves out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "spec/run_config.h"

namespace dsmoe::spec {

/// Trained values by what they are for. A router's balance bias and a hash table are state, not parameters.
struct ParameterCount {
  int64_t embedding = 0;  ///< V D; untied, so the head counts again
  int64_t head = 0;
  int64_t attention = 0;
  int64_t dense_ffn = 0;
  int64_t routed_experts = 0;
  int64_t shared_experts = 0;
  int64_t router = 0;
  int64_t norms = 0;

  int64_t total() const {
    return embedding + head + attention + dense_ffn + routed_experts + shared_experts + router + norms;
  }
  /// The matrices of the blocks, routers left out: the paper's N.
  int64_t block_matrices() const { return attention + dense_ffn + routed_experts + shared_experts; }
  bool operator==(const ParameterCount&) const = default;
};

/// Closed formula. The config must be valid (validate), which bounds every product.
ParameterCount count_parameters(const ModelConfig& config);
/// The same for what one token visits: num_experts_per_tok of the routed experts, and all of everything else.
ParameterCount count_activated(const ModelConfig& config);
/// count_parameters by adding up the tensors of a checkpoint.
ParameterCount walk_parameters(const ModelConfig& config);

/// Tensors of a checkpoint, by closed formula: as many as for_each_tensor visits.
int64_t count_tensors(const ModelConfig& config);

/// A few hundred bytes of config.json or of a GGUF file's keys can describe millions of tensors, each of which has a
/// name in every list made of them. Throws Error(kInvalid) with `part` and `path` unless a model of this shape can have
/// `bytes` of weights: 4.5 bits for each parameter (the head apart, which may be the embedding), and 64 bytes for each
/// tensor beyond the first 65,536. To be asked before any list is made; no model that anybody runs comes near.
void require_room(const ModelConfig& config, uint64_t bytes, std::string_view part, const std::string& path);

/// FLOPs of training (forward and backward) one sequence of S tokens: S (6 N + 12 L D S + 6 V D), N the activated
/// matrices. Attention is counted in full, without the causal half, as the paper counts it; forward alone is a third.
double flops_per_sequence(const ModelConfig& config, int64_t sequence_length);
/// The same with N = L (4 D^2 + nominal_ffn * 8 D^2): full attention and that many standard FFNs in every layer,
/// whatever the integers. This is what the paper prints for most of its models.
double nominal_flops_per_sequence(const ModelConfig& config, int64_t sequence_length, double nominal_ffn);

int64_t bytes_of(Precision precision);
/// A model folder in this precision, state included: balance biases in float32, hash tables in int32.
int64_t weight_bytes(const ModelConfig& config, Precision precision);
/// Keys and values of one position in all layers.
int64_t kv_bytes_per_token(const ModelConfig& config, Precision precision);

/// Rows whose logits are alive together in training: kernels/train_loss.h cuts them, and a test of model/ holds the two
/// to each other.
inline constexpr int64_t kHeadRows = 1024;

/// What one rank keeps in memory while it trains, in bytes.
struct TrainingBytes {
  int64_t master_weights = 0;   ///< float32
  int64_t gradients = 0;        ///< float32
  int64_t moments = 0;          ///< two, float32
  int64_t compute_weights = 0;  ///< packed for the products, forward and backward
  int64_t activations = 0;      ///< kept by one micro-batch for its backward pass, and passing while it goes
  int64_t logits = 0;           ///< of the rows whose logits are alive together, and the head's gradient
  int64_t total() const { return master_weights + gradients + moments + compute_weights + activations + logits; }
};
/// Where the weights beside adapters are: in memory with everything made of them, or in a mapped file, from which each
/// product has what it needs packed anew (moe/stored_weight.h); what is mapped is not counted.
enum class BaseWeights { kInMemory, kInFile };
TrainingBytes training_bytes(const ModelConfig& config, const TrainConfig& train,
                             BaseWeights base = BaseWeights::kInMemory);

/// What one rank sends in one optimiser step, for two ways of sharing the work among plan.ranks.
struct CommunicationBytes {
  int64_t data_parallel = 0;    ///< all gradients, by a ring all-reduce: 2 (R-1)/R of them, in float32
  int64_t expert_parallel = 0;  ///< that without routed experts, plus rows to experts and back, forward and backward
};
CommunicationBytes communication_bytes(const RunConfig& config);

/// Seconds of one optimiser step by plan.flops_per_second, plus the smaller communication by
/// plan.link_bytes_per_second; recomputation adds a forward pass. 0 where no speed is given.
double seconds_per_step(const RunConfig& config);

}  // namespace dsmoe::spec
