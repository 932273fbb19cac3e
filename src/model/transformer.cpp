#include "model/transformer.h"

#include "base/error.h"
#include "formats/initial_values.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"
#include "model/block.h"
#include "model/embedding.h"
#include "model/parameters.h"
#include "model/rms_norm.h"
#include "moe/linear.h"
#include "moe/rows.h"

namespace dsmoe::model {

struct Transformer::Impl {
  Impl(const spec::ModelConfig& config, const moe::TrainingOptions& training, const TransformerOptions& options)
      : config(config),
        options(options),
        store(config, options),
        embedding(store.weight(store.embedding())),
        norm(store.weight(store.norm())),
        head(store.weight(store.head())),
        rotary(rotary_table(config.max_position_embeddings, config.head_dim(), config.rope_theta, options.compute)) {
    for (size_t layer = 0; layer < store.layers().size(); ++layer) {
      blocks.emplace_back(config, training, store, static_cast<int64_t>(layer), options.expert_ranks);
      if (store.layers()[layer].bias.defined()) router_biases.push_back(store.layers()[layer].bias);
    }
  }

  /// Throws Error(kInvalid) for ids and sequences that the model does not take.
  moe::MoeContext context(const Tensor& ids_BS, moe::Sequences sequences) const;
  Tensor forward(const Tensor& ids_BS, const moe::MoeContext& context, std::vector<moe::Routing>& routings,
                 Tensor* balance_loss) const;

  spec::ModelConfig config;
  TransformerOptions options;
  ParameterStore store;
  moe::WeightPtr embedding, norm, head;
  RotaryTable rotary;
  std::vector<Block> blocks;
  std::vector<Tensor> router_biases;
};

moe::MoeContext Transformer::Impl::context(const Tensor& ids_BS, moe::Sequences sequences) const {
  DSMOE_CHECK(ids_BS.dim() == 2 && ids_BS.scalar_type() == torch::kInt64, "token ids are int64 [B, S]");
  DSMOE_CHECK(ids_BS.numel() > 0, "an empty batch");
  if (sequences.count() == 0) sequences = moe::Sequences::equal(ids_BS.size(0), ids_BS.size(1));
  DSMOE_CHECK(sequences.tokens() == ids_BS.numel(), "every token belongs to a sequence");
  if (sequences.longest() > config.max_position_embeddings) {
    base::fail_invalid("model", "a sequence is longer than max_position_embeddings",
                       std::to_string(sequences.longest()) + " > " + std::to_string(config.max_position_embeddings));
  }
  const auto least = ids_BS.min().item<int64_t>(), most = ids_BS.max().item<int64_t>();
  if (least < 0 || most >= config.vocab_size) {
    base::fail_invalid("model", "token ids lie in [0, vocab_size)", std::to_string(least < 0 ? least : most),
                       "the data was made with another tokenizer");
  }
  moe::MoeContext context;
  context.token_ids_T = ids_BS.reshape(-1);
  context.sequences = std::move(sequences);
  return context;
}

/// Final hidden states [T, D]; balance losses are added to `balance_loss` where given.
Tensor Transformer::Impl::forward(const Tensor& ids_BS, const moe::MoeContext& context,
                                  std::vector<moe::Routing>& routings, Tensor* balance_loss) const {
  Tensor x_TD = embed(ids_BS.reshape(-1), embedding, options.compute);
  const bool recompute = options.recompute && torch::GradMode::is_enabled();
  // A block that runs again is in the graph by its input alone, which rows of a frozen embedding are not.
  if (recompute && !x_TD.requires_grad()) x_TD.requires_grad_();
  for (const Block& block : blocks) {
    BlockOutput out =
        recompute ? block.forward_recomputed(x_TD, context, rotary) : block.forward(x_TD, context, rotary);
    x_TD = out.x_TD;
    if (out.routing) routings.push_back(out.routing->detach());
    if (balance_loss && out.balance_loss.defined()) *balance_loss = *balance_loss + out.balance_loss;
  }
  return rms_norm(x_TD, norm->get(x_TD.scalar_type()), config.rms_norm_eps);
}

Transformer::Transformer(const spec::ModelConfig& config, const moe::TrainingOptions& training,
                         const TransformerOptions& options) {
  spec::validate(config);
  impl_ = std::make_unique<Impl>(config, training, options);
}
Transformer::~Transformer() = default;
Transformer::Transformer(Transformer&&) noexcept = default;

const spec::ModelConfig& Transformer::config() const { return impl_->config; }
const std::vector<Parameter>& Transformer::parameters() const { return impl_->store.parameters(); }
const std::vector<AdaptedModule>& Transformer::adapters() const { return impl_->store.adapters().modules(); }
const std::vector<NamedTensor>& Transformer::tensors() const { return impl_->store.tensors(); }
const std::vector<Tensor>& Transformer::router_biases() const { return impl_->router_biases; }

StepOutput Transformer::forward_loss(const Batch& batch, const BatchTotals& totals) const {
  moe::MoeContext context = impl_->context(batch.ids_BS, batch.sequences);
  DSMOE_CHECK(batch.targets_BS.sizes() == batch.ids_BS.sizes(), "one target for each id");
  DSMOE_CHECK(totals.targets > 0 && totals.tokens > 0, "the totals of a step are positive");
  context.training = true;
  context.total_tokens = totals.tokens;
  context.random_key = batch.random_key;
  if (batch.mask_BS.defined()) context.mask_T = batch.mask_BS.reshape(-1);
  StepOutput out;
  out.balance_loss = torch::zeros({}, torch::dtype(impl_->options.master));
  const Tensor x_TD = impl_->forward(batch.ids_BS, context, out.routings, &out.balance_loss);
  out.loss = head_cross_entropy(x_TD, impl_->head, batch.targets_BS.reshape(-1), 1.0 / totals.targets);
  return out;
}

Evaluation Transformer::evaluate(const Batch& batch) const {
  const torch::NoGradGuard no_grad;
  const moe::MoeContext context = impl_->context(batch.ids_BS, batch.sequences);
  Evaluation out;
  const Tensor x_TD = impl_->forward(batch.ids_BS, context, out.routings, nullptr);
  out.losses_BS = token_losses(x_TD, impl_->head, batch.targets_BS.reshape(-1)).view(batch.ids_BS.sizes());
  return out;
}

Tensor Transformer::logits(const Tensor& ids_BS) const {
  const torch::NoGradGuard no_grad;
  const moe::MoeContext context = impl_->context(ids_BS, {});
  std::vector<moe::Routing> routings;
  const Tensor x_TD = impl_->forward(ids_BS, context, routings, nullptr);
  const Tensor logits_TV = moe::linear(x_TD, impl_->head);
  return logits_TV.to(moe::wide(x_TD.scalar_type())).view({ids_BS.size(0), ids_BS.size(1), -1});
}

void Transformer::initialise(uint64_t seed, std::span<const int64_t> token_frequencies) {
  const torch::NoGradGuard no_grad;
  impl_->store.adapters().initialise(seed);
  if (impl_->options.base) return;
  std::vector<int32_t> table;  // the same in every layer
  for (const NamedTensor& tensor : tensors()) {
    if (!tensor.value.defined()) continue;
    const int64_t count = tensor.value.numel();
    if (tensor.spec.role == spec::TensorRole::kHashTable) {
      if (table.empty()) table = formats::initial_hash_table(config(), seed, token_frequencies);
      tensor.value.copy_(torch::from_blob(table.data(), tensor.value.sizes(), torch::kInt32));
      continue;
    }
    std::vector<float> values(static_cast<size_t>(count));
    at::parallel_for(0, count, int64_t{1} << 15, [&](int64_t begin, int64_t end) {
      formats::initial_values(tensor.spec, config(), seed, begin,
                              std::span(values).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    });
    tensor.value.copy_(torch::from_blob(values.data(), tensor.value.sizes(), torch::kFloat32));
  }
}

void Transformer::load(const formats::ModelFolder& folder) {
  const torch::NoGradGuard no_grad;
  if (!(folder.config() == config())) {
    base::fail_invalid("model", "the folder holds a model of another configuration", folder.path().string());
  }
  for (const NamedTensor& tensor : tensors()) {
    if (!tensor.value.defined()) continue;
    if (tensor.spec.role == spec::TensorRole::kHashTable) {
      std::vector<int32_t> table = folder.read_hash_table(tensor.spec.name);
      tensor.value.copy_(torch::from_blob(table.data(), tensor.value.sizes(), torch::kInt32));
    } else {
      std::vector<float> values = folder.read_f32(tensor.spec.name);
      tensor.value.copy_(torch::from_blob(values.data(), tensor.value.sizes(), torch::kFloat32));
    }
  }
}

void Transformer::save(formats::ModelFolderWriter& writer) const {
  for (const NamedTensor& tensor : tensors()) {
    const Tensor value = impl_->store.on_first_rank(tensor);
    const auto count = static_cast<size_t>(value.numel());
    if (tensor.spec.role == spec::TensorRole::kHashTable) {
      const Tensor table = value.to(torch::kCPU).contiguous();
      writer.append_i32({table.data_ptr<int32_t>(), count});
    } else {
      const Tensor values = value.to(torch::kCPU, torch::kFloat32).contiguous();
      writer.append_f32({values.data_ptr<float>(), count});
    }
  }
}

void Transformer::give_tensors() const {
  for (const NamedTensor& tensor : tensors()) impl_->store.on_first_rank(tensor);
}

}  // namespace dsmoe::model
