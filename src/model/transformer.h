// The language model of the training half: token ids in, loss or logits out, with what happened on the way.
//
// Not here: optimiser, schedule, data, sums over ranks (train/), generation (engine/). One Transformer is used by one
// thread. Weights are kept as few large float32 masters (all experts of a layer in one tensor, query/key/value in one),
// which is what an optimiser wants; files see them through views under the names of spec/tensors.h.
#pragma once

#include <torch/types.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/group.h"
#include "model/cross_entropy.h"
#include "moe/routing.h"
#include "moe/sequences.h"
#include "moe/training_options.h"
#include "moe/weight.h"
#include "spec/model_config.h"
#include "spec/tensors.h"

namespace dsmoe::formats {
class GgufModel;
class ModelFolder;
class ModelFolderWriter;
}  // namespace dsmoe::formats

namespace dsmoe::model {

using torch::Tensor;

/// Adapters that are trained in place of the weights (spec/adapter.h).
struct AdapterOptions {
  int64_t rank = 0;  ///< 0: none, the weights train
  double alpha = 16;
  std::string targets = {};
  double scale() const { return alpha / static_cast<double>(rank); }
};

struct TransformerOptions {
  torch::ScalarType compute = torch::kFloat32;  ///< kBFloat16 or kFloat32; router, norms and loss stay float32
  torch::ScalarType master = torch::kFloat32;   ///< kFloat64 (with compute) for gradient tests
  bool recompute = false;                       ///< keep block inputs only, run each block again in the backward pass
  AdapterOptions adapters = {};
  /// Ranks that have the routed experts between them (moe/placement.h). They go through every forward and backward pass
  /// together, each with a batch of its own.
  comm::Group expert_ranks = {};
  /// Weights that stay in this file, as they are stored, and nothing of them trains; norms, routers and hash tables are
  /// read when the model is made. Null: weights are in memory and begin at zero.
  std::shared_ptr<const formats::GgufModel> base = {};
};

/// One micro-batch.
struct Batch {
  Tensor ids_BS;        ///< int64
  Tensor targets_BS;    ///< int64, the successor of each id; kIgnore where there is no loss
  Tensor mask_BS = {};  ///< bool, true for real tokens; undefined: all are. Padding stays out of balance and capacity
  uint64_t random_key = 0;  ///< draws of this micro-batch (random second experts): same key, same draws
  /// Of all B S tokens, one row after another. None given: each row is one.
  moe::Sequences sequences = {};
};

/// What the whole optimiser step holds over all its micro-batches and ranks; losses are shares of it, so that the
/// gradients of micro-batches simply add up.
struct BatchTotals {
  double targets = 0;  ///< positions with a loss
  double tokens = 0;   ///< real tokens (mask)
};

struct StepOutput {
  Tensor loss;          ///< scalar: sum of cross entropies / totals.targets
  Tensor balance_loss;  ///< scalar: balance terms of all layers, weighted by this micro-batch's share of totals.tokens
  std::vector<moe::Routing> routings;  ///< one per MoE layer in ascending order, without graph
  /// What backward() is called on.
  Tensor total() const { return loss + balance_loss; }
};

struct Evaluation {
  Tensor losses_BS;  ///< float32 nats per target, 0 where ignored
  std::vector<moe::Routing> routings;
};

/// A float32 master tensor with requires_grad: what the optimiser moves, in a fixed order. Gradients are in
/// value.grad(), float32. Changed in place under torch::NoGradGuard.
struct Parameter {
  std::string name;  ///< a checkpoint name, or that of a fused group (...mlp.experts.gate_up_proj.weight)
  Tensor value;
  spec::TensorRole role;  ///< kNorm is not decayed
  moe::WeightPtr weight;  ///< what layers see the value through
  int64_t experts = 0;    ///< of a stack that is spread over ranks, how many there are; 0: every rank has all of it
};

/// A tensor under its checkpoint name: a view of a Parameter's or a buffer's memory.
struct NamedTensor {
  spec::TensorSpec spec;
  /// Float32, or int32 for hash tables; router biases and hash tables are no parameters. Without memory (of the meta
  /// device) where it stays in the file of TransformerOptions::base.
  Tensor value;
  int rank = 0;  ///< of the expert ranks, the first that has it; the value is undefined where it is not
};

/// A matrix's adapter: y += scale * b (a x). Views of Parameters' memory.
struct AdaptedModule {
  std::string name;  ///< model.layers.3.self_attn.q_proj
  double scale;
  Tensor a, b;  ///< [r, K], [N, r]
};

class Transformer {
 public:
  /// Weights start at zero (norms at one): call initialise() or load(). Those of a base file are there already; then
  /// initialise() gives values to adapters alone, and load() and save() are not called. Throws Error(kInvalid) where
  /// the base is of another configuration.
  Transformer(const spec::ModelConfig& config, const moe::TrainingOptions& training, const TransformerOptions& options);
  ~Transformer();
  Transformer(Transformer&&) noexcept;

  const spec::ModelConfig& config() const;
  /// What is trained: the weights, or with adapters those alone.
  const std::vector<Parameter>& parameters() const;
  /// In the order of the checkpoint, stacks of experts together; empty where the weights train.
  const std::vector<AdaptedModule>& adapters() const;
  /// Every tensor of spec::for_each_tensor, in its order.
  const std::vector<NamedTensor>& tensors() const;
  /// One float32 [E] per MoE layer, or empty where the model has no router bias. moe/bias_balancer.h moves them.
  const std::vector<Tensor>& router_biases() const;

  /// Forward in training mode. Call .total().backward() to accumulate gradients.
  StepOutput forward_loss(const Batch& batch, const BatchTotals& totals) const;
  /// Evaluation mode, without graph: dropless, no random second expert, no balance loss.
  Evaluation evaluate(const Batch& batch) const;
  Tensor logits(const Tensor& ids_BS) const;  ///< float32 [B, S, V]

  /// By spec role, the same values as `dsmoe init`. Frequencies (one per token id) shape a balanced hash table.
  /// Adapters start as nothing that is added.
  void initialise(uint64_t seed, std::span<const int64_t> token_frequencies = {});
  /// The weights; adapters stay as they are.
  void load(const formats::ModelFolder& folder);
  /// The other expert ranks call give_tensors() meanwhile.
  void save(formats::ModelFolderWriter& writer) const;
  void give_tensors() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsmoe::model
