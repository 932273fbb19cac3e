#include "spec/familiar_keys.h"

#include <string>

namespace dsmoe::spec {
namespace {

struct Familiar {
  std::string_view key;
  std::string_view names;  // with a space after each
};

// From the configurations of transformers, Megatron-LM, nanoGPT and llama.cpp.
constexpr Familiar kFamiliar[] = {
    {"model.vocab_size", "vocab n_vocab padded_vocab_size "},
    {"model.hidden_size", "hidden hidden_dim d_model dim width n_embd embd embed_dim embedding_size embedding_length "},
    {"model.num_hidden_layers", "n_layer n_layers num_layers layers depth block_count blocks n_blocks "},
    {"model.num_attention_heads", "n_head n_heads num_heads heads head_count "},
    {"model.num_key_value_heads", "n_kv_head n_kv_heads n_head_kv num_kv_heads kv_heads num_query_groups "},
    {"model.intermediate_size", "d_ff ffn_dim ffn_size ffn_hidden_size n_inner mlp_dim feed_forward_length "},
    {"model.max_position_embeddings",
     "n_ctx ctx_size block_size context context_length n_positions max_position max_seq_len "},
    {"model.n_routed_experts", "n_experts n_expert num_experts num_local_experts experts expert_count "},
    {"model.n_shared_experts", "num_shared_experts shared_experts n_expert_shared expert_shared_count "},
    {"model.num_experts_per_tok",
     "top_k topk moe_router_topk moe_top_k n_expert_used num_experts_per_token experts_per_token expert_used_count "},
    {"model.moe_intermediate_size", "expert_dim expert_size moe_ffn_hidden_size expert_intermediate_size moe_dim "},
    {"model.rms_norm_eps", "norm_eps norm_epsilon layer_norm_eps layer_norm_epsilon rms_eps "},
    {"model.rope_theta", "rope_base rotary_base rope_freq_base theta "},
    {"model.initializer_range", "init_std init_method_std initializer_std "},
    {"train.seed", "random_seed manual_seed rng_seed data_seed "},
    {"train.steps",
     "max_steps num_steps n_steps total_steps train_steps train_iters max_iters iterations iters epochs num_epochs "
     "num_train_epochs max_tokens train_tokens "},
    {"train.minutes", "max_minutes time_limit max_time "},
    {"train.sequence_length", "seq_len seq_length sequence_len max_seq_length train_ctx "},
    {"train.micro_batch",
     "micro_batch_size mbs device_batch_size per_device_batch_size per_device_train_batch_size ubatch_size "},
    {"train.global_batch",
     "batch_size batch bs gbs global_batch_size train_batch_size total_batch_size gradient_accumulation_steps "
     "grad_accum_steps "},
    {"train.precision", "dtype torch_dtype mixed_precision bf16 fp16 fp32 amp "},
    {"train.recompute", "gradient_checkpointing activation_checkpointing grad_checkpoint recompute_granularity "},
    {"train.learning_rate", "lr max_lr peak_lr base_lr "},
    {"train.warmup_steps", "warmup num_warmup_steps warmup_iters lr_warmup_iters lr_warmup_steps warmup_ratio "},
    {"train.schedule", "lr_schedule lr_scheduler lr_scheduler_type scheduler lr_decay_style "},
    {"train.min_learning_rate_ratio", "min_lr min_lr_ratio min_learning_rate "},
    {"train.beta1", "adam_beta1 b1 "},
    {"train.beta2", "adam_beta2 b2 "},
    {"train.adam_eps", "eps epsilon adam_epsilon "},
    {"train.weight_decay", "wd decay "},
    {"train.clip_norm", "grad_clip clip_grad max_grad_norm gradient_clipping clip max_norm "},
    {"train.aux_loss_alpha", "aux_loss_coef router_aux_loss_coef moe_aux_loss_coeff aux_loss load_balance_weight "},
    {"train.z_loss_alpha", "router_z_loss_coef moe_z_loss_coeff z_loss "},
    {"train.log_every", "log_interval logging_steps log_freq "},
    {"train.validate_every", "eval_interval eval_steps eval_every val_every val_interval "},
    {"train.validate_tokens", "eval_iters val_tokens "},
    {"train.checkpoint_every", "save_every save_steps save_interval checkpoint_interval ckpt_every "},
    {"train.keep_checkpoints", "save_total_limit keep_last max_checkpoints "},
    {"data.path", "dataset data_dir data_path train_data train_file dataset_path "},
    {"data.weights", "mixture data_weights domain_weights data_mix "},
    {"output.dir", "out out_dir output_dir save_dir save checkpoint_dir run_dir "},
};

}  // namespace

std::string_view familiar_key(std::string_view name) {
  std::string word = " ";
  for (const char c : name) word += c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  word += ' ';
  if (word.find(' ', 1) + 1 != word.size()) return {};
  for (const auto& [key, names] : kFamiliar) {
    if (std::string(" ").append(names).find(word) != std::string::npos) return key;
  }
  return {};
}

}  // namespace dsmoe::spec
