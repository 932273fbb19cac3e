#include "spec/counts.h"

#include <algorithm>
#include <cmath>

#include "spec/adapter.h"
#include "spec/rules.h"
#include "spec/tensors.h"
#include "spec/trained_experts.h"

namespace dsmoe::spec {
namespace {

// SwiGLU has three matrices.
int64_t ffn_size(const ModelConfig& c, int64_t width) { return 3 * c.hidden_size * width; }

int64_t kv_width(const ModelConfig& c) { return c.num_key_value_heads * c.head_dim(); }

ParameterCount count(const ModelConfig& c, int64_t experts) {
  const int64_t layers = c.num_hidden_layers, mixture = c.moe_layers();
  ParameterCount out;
  out.embedding = out.head = c.vocab_size * c.hidden_size;
  out.attention = layers * 2 * c.hidden_size * (c.hidden_size + kv_width(c));
  out.dense_ffn = (layers - mixture) * ffn_size(c, c.intermediate_size);
  out.routed_experts = mixture * experts * ffn_size(c, c.moe_intermediate_size);
  out.shared_experts = mixture * ffn_size(c, c.shared_intermediate_size());
  out.router = c.has_router_weight() ? mixture * c.n_routed_experts * c.hidden_size : 0;
  out.norms = (2 * layers + 1) * c.hidden_size;
  return out;
}

}  // namespace

ParameterCount count_parameters(const ModelConfig& config) { return count(config, config.n_routed_experts); }

ParameterCount count_activated(const ModelConfig& config) { return count(config, config.num_experts_per_tok); }

int64_t count_tensors(const ModelConfig& c) {
  const int64_t mixture = c.moe_layers();
  const int64_t of_mixture =
      1 + (c.has_router_bias() ? 1 : 0) + 3 * c.n_routed_experts + (c.n_shared_experts > 0 ? 3 : 0);
  return 3 + 6 * c.num_hidden_layers + 3 * (c.num_hidden_layers - mixture) + mixture * of_mixture;
}

void require_room(const ModelConfig& config, uint64_t bytes, std::string_view part, const std::string& path) {
  constexpr int64_t kFreeTensors = 1 << 16, kLeastBytesOfTensor = 64;
  const ParameterCount parameters = count_parameters(config);
  const int64_t stored = parameters.total() - parameters.head, tensors = count_tensors(config);
  const double least = 4.5 / 8 * static_cast<double>(stored), room = static_cast<double>(bytes);
  require(least <= room, part, "a model's files must have room for the parameters it describes",
          path + ": " + std::to_string(stored) + " parameters in " + std::to_string(bytes) + " bytes",
          "the description is of another model, or files are missing");
  require(static_cast<double>(tensors - kFreeTensors) * kLeastBytesOfTensor <= room, part,
          "a model may not have more tensors than this for its size",
          path + ": " + std::to_string(tensors) + " tensors in " + std::to_string(bytes) + " bytes");
}

ParameterCount walk_parameters(const ModelConfig& config) {
  ParameterCount out;
  for_each_tensor(config, [&](const TensorSpec& tensor) {
    const int64_t size = tensor.numel();
    const auto is_part = [&](const char* part) { return tensor.name.find(part) != std::string::npos; };
    switch (tensor.role) {
      case TensorRole::kEmbedding:
        out.embedding += size;
        break;
      case TensorRole::kHead:
        out.head += size;
        break;
      case TensorRole::kAttention:
        out.attention += size;
        break;
      case TensorRole::kRouter:
        out.router += size;
        break;
      case TensorRole::kNorm:
        out.norms += size;
        break;
      case TensorRole::kFfn:
        (is_part(".experts.")          ? out.routed_experts
         : is_part(".shared_experts.") ? out.shared_experts
                                       : out.dense_ffn) += size;
        break;
      case TensorRole::kRouterBias:
      case TensorRole::kHashTable:
        break;
    }
  });
  return out;
}

namespace {

// In double: each term is an integer below 2^53 for every model of the paper, so the sum is exact there.
double flops(const ModelConfig& c, int64_t sequence_length, double matrices) {
  const auto s = static_cast<double>(sequence_length);
  const auto width = static_cast<double>(c.hidden_size);
  const double attention = 12.0 * static_cast<double>(c.num_hidden_layers) * width * s;
  return s * (6.0 * matrices + attention + 6.0 * static_cast<double>(c.vocab_size) * width);
}

}  // namespace

double flops_per_sequence(const ModelConfig& config, int64_t sequence_length) {
  return flops(config, sequence_length, static_cast<double>(count_activated(config).block_matrices()));
}

double nominal_flops_per_sequence(const ModelConfig& config, int64_t sequence_length, double nominal_ffn) {
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const auto square = static_cast<double>(config.hidden_size) * static_cast<double>(config.hidden_size);
  // a fraction of u (2.4, say) has no exact double: what it stands for is a whole number of FLOPs
  return std::round(flops(config, sequence_length, layers * square * (4.0 + 8.0 * nominal_ffn)));
}

int64_t bytes_of(Precision precision) { return precision == Precision::kBf16 ? 2 : 4; }

int64_t weight_bytes(const ModelConfig& config, Precision precision) {
  int64_t state = 0;
  if (config.is_moe() && config.has_router_bias()) state += config.n_routed_experts;
  if (config.is_moe() && !config.has_router_weight()) state += config.vocab_size * config.num_experts_per_tok;
  return count_parameters(config).total() * bytes_of(precision) + config.moe_layers() * state * 4;
}

int64_t kv_bytes_per_token(const ModelConfig& config, Precision precision) {
  return config.num_hidden_layers * 2 * kv_width(config) * bytes_of(precision);
}

namespace {

/// Products of batch, length and width may leave 64 bits for a legal configuration, so they are formed in double
/// (exact below 2^53) and come back through here.
int64_t whole_bytes(double bytes) {
  require(bytes < 0x1p62, "plan", "the bytes of this configuration cannot be counted in 64 bits", number_text(bytes),
          "lower train.micro_batch or train.sequence_length");
  return static_cast<int64_t>(std::llround(bytes));
}

/// What one block holds for one token: kept for the backward pass, and besides while that pass is in its FFN.
struct BlockBytes {
  double kept = 0, passing = 0;
};

/// Kept. Attention: normed input, queries, keys, values, the heads' output and a float a head. FFN: its input (the sum
/// after attention), that normed, gate and up of each width a token visits; a mixture also the router's input in
/// float32, logits and affinities, and for each slot 36 bytes of ids, weights and places. Besides, backward: hidden
/// activations, the gradients of gate and up and, for each slot, a row of gradients; and the gradients of some rows.
BlockBytes block_bytes(const ModelConfig& c, const TrainConfig& t, bool mixture) {
  const auto size = static_cast<double>(bytes_of(t.precision));
  const int64_t hidden = c.hidden_size, slots = mixture ? c.num_experts_per_tok : 0;
  const int64_t routed = slots * c.moe_intermediate_size;
  const int64_t always = mixture ? c.shared_intermediate_size() : c.intermediate_size;
  const int64_t attention = hidden + hidden + 2 * kv_width(c) + hidden;
  BlockBytes bytes;
  bytes.kept = size * static_cast<double>(attention + 2 * hidden + 2 * (routed + always)) +
               4.0 * static_cast<double>(c.num_attention_heads);
  if (mixture) bytes.kept += 4.0 * static_cast<double>(hidden + 2 * c.n_routed_experts + 9 * slots);
  bytes.passing = size * static_cast<double>(3 * std::max(routed, always) + (slots + 3) * hidden);
  return bytes;
}

/// What adapters at an FFN make one token keep besides: its steps are joined by autograd (moe/adapted_bank.h), so of
/// each slot the row that it reads, its hidden activations and its output stay, of any other FFN the hidden
/// activations, and of each of the three adapters r products.
double adapter_bytes(const ModelConfig& c, const TrainConfig& t, bool mixture) {
  if (t.lora_rank == 0) return 0;
  bool routed = false, always = false;
  for (const TensorSpec& tensor : adapted_tensors(c, t.lora_targets, "train")) {
    if (tensor.role != TensorRole::kFfn) continue;
    (tensor.name.find(".mlp.experts.") != std::string::npos ? routed : always) = true;
  }
  const int64_t slot = 2 * c.hidden_size + c.moe_intermediate_size + 3 * t.lora_rank;
  const int64_t one = (mixture ? c.shared_intermediate_size() : c.intermediate_size) + 3 * t.lora_rank;
  const int64_t kept = (mixture && routed ? c.num_experts_per_tok * slot : 0) + (always ? one : 0);
  return static_cast<double>(bytes_of(t.precision) * kept);
}

/// Bytes that are packed at once of weights in a file: some experts, or gates and ups of a dense FFN in one piece. What
/// is larger goes in parts (moe/packed_weight.h).
int64_t packed_at_once(const ModelConfig& c, Precision precision) {
  constexpr int64_t kTogether = int64_t{64} << 20;
  return std::max(
      kTogether, bytes_of(precision) * c.hidden_size * 2 * std::max(c.intermediate_size, c.shared_intermediate_size()));
}

}  // namespace

TrainingBytes training_bytes(const ModelConfig& config, const TrainConfig& train, BaseWeights base) {
  const int64_t parameters = count_parameters(config).total();
  const auto tokens = static_cast<double>(train.micro_batch * train.sequence_length);
  const auto size = static_cast<double>(bytes_of(train.precision));
  const auto layers = static_cast<double>(config.num_hidden_layers),
             mixtures = static_cast<double>(config.moe_layers());
  BlockBytes mixture = mixtures > 0 ? block_bytes(config, train, true) : BlockBytes{};
  BlockBytes dense = mixtures < layers ? block_bytes(config, train, false) : BlockBytes{};
  if (mixtures > 0) mixture.kept += adapter_bytes(config, train, true);
  if (mixtures < layers) dense.kept += adapter_bytes(config, train, false);
  // recomputation keeps every block's input and, while it goes backward, the insides of one block
  const double insides =
      train.recompute ? std::max(mixture.kept, dense.kept) : mixtures * mixture.kept + (layers - mixtures) * dense.kept;
  const double inputs = (layers + 1) * static_cast<double>(config.hidden_size) * size;
  const double passing = std::max(mixture.passing, dense.passing);
  TrainingBytes out;
  const int64_t adapters = adapter_parameters(config, train), trained = trained_parameters(config, train);
  out.master_weights = 4 * (parameters + adapters);
  out.gradients = 4 * trained;
  out.moments = 8 * trained;
  // both layouts of every matrix but the embedding, in the type multiplied in; routers are multiplied in float32
  const ParameterCount count = count_parameters(config);
  const int64_t packed = count.total() - count.embedding - count.norms - count.router;
  out.compute_weights = 2 * bytes_of(train.precision) * (packed + adapters) + 2 * 4 * count.router;
  if (base == BaseWeights::kInFile) {
    out.master_weights = 4 * (count.norms + count.router + adapters);
    out.compute_weights = packed_at_once(config, train.precision) + 2 * 4 * count.router;
  }
  out.activations = whole_bytes(tokens * (inputs + insides + passing));
  const double chunk = std::min(tokens, static_cast<double>(kHeadRows));
  out.logits = whole_bytes(chunk * static_cast<double>(config.vocab_size) * size);
  if (base == BaseWeights::kInMemory) out.logits += 4 * count.head;  // the head's gradient until it is added
  return out;
}

CommunicationBytes communication_bytes(const RunConfig& config) {
  const ModelConfig& model = config.model;
  const double ranks = static_cast<double>(config.plan.ranks), away = (ranks - 1) / ranks;
  const ParameterCount parameters = count_parameters(model);
  const auto gradients = [&](int64_t values) { return 2 * away * 4 * static_cast<double>(values); };
  // each picked row goes out and comes back, and its gradient likewise
  const double rows = static_cast<double>(config.train.tokens_per_step()) / ranks *
                      static_cast<double>(model.num_experts_per_tok * model.moe_layers());
  const double row_bytes = static_cast<double>(model.hidden_size * bytes_of(config.train.precision));
  CommunicationBytes out;
  out.data_parallel = whole_bytes(gradients(parameters.total()));
  out.expert_parallel =
      whole_bytes(gradients(parameters.total() - parameters.routed_experts) + 4 * away * rows * row_bytes);
  return out;
}

double seconds_per_step(const RunConfig& config) {
  const PlanConfig& plan = config.plan;
  if (plan.flops_per_second <= 0) return 0;
  const double passes = config.train.recompute ? 4.0 / 3.0 : 1.0;
  const double work = passes * flops_per_sequence(config.model, config.train.sequence_length) *
                      static_cast<double>(config.train.global_batch);
  double seconds = work / (plan.flops_per_second * static_cast<double>(plan.ranks));
  if (plan.link_bytes_per_second > 0) {
    const CommunicationBytes bytes = communication_bytes(config);
    seconds += static_cast<double>(std::min(bytes.data_parallel, bytes.expert_parallel)) / plan.link_bytes_per_second;
  }
  return seconds;
}

}  // namespace dsmoe::spec
