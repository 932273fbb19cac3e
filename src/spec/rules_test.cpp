// Every rule of a configuration, broken once: the line it gives.
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "spec/run_config.h"
#include "spec/settings.h"

namespace dsmoe::spec {
namespace {

struct Broken {
  const char* preset;
  std::vector<std::string> overrides;
  const char* error;
};

const Broken kBroken[] = {
    // sizes
    {"tiny", {"model.vocab_size=0"}, "[model] vocab_size must be from 1 to 16777216: 0"},
    {"tiny", {"model.hidden_size=-64"}, "[model] hidden_size must be from 1 to 1048576: -64"},
    {"tiny",
     {"model.hidden_size=1000000000000000000"},
     "[model] hidden_size must be from 1 to 1048576: 1000000000000000000"},
    {"tiny", {"model.num_hidden_layers=0"}, "[model] num_hidden_layers must be from 1 to 10000: 0"},
    {"tiny", {"model.num_attention_heads=0"}, "[model] num_attention_heads must be from 1 to 65536: 0"},
    {"tiny", {"model.num_attention_heads=5"}, "[model] num_attention_heads must divide hidden_size: 5 and 64"},
    {"tiny",
     {"model.num_attention_heads=64", "model.num_key_value_heads=64"},
     "[model] the head size must be even for rotary embeddings: 1; it is hidden_size / num_attention_heads"},
    {"tiny", {"model.num_key_value_heads=3"}, "[model] num_key_value_heads must divide num_attention_heads: 3 and 4"},
    {"tiny", {"model.num_key_value_heads=0"}, "[model] num_key_value_heads must be from 1 to 65536: 0"},
    {"tiny", {"model.intermediate_size=0"}, "[model] intermediate_size must be from 1 to 16777216: 0"},
    {"tiny", {"model.max_position_embeddings=0"}, "[model] max_position_embeddings must be from 1 to 16777216: 0"},
    {"tiny", {"model.bos_token_id=512"}, "[model] bos_token_id must be from -1 to 511: 512"},
    {"tiny", {"model.eos_token_id=-2"}, "[model] eos_token_id must be from -1 to 511: -2"},
    {"tiny", {"model.rms_norm_eps=0"}, "[model] rms_norm_eps must lie between 0 and 1: 0"},
    {"tiny", {"model.rope_theta=-1"}, "[model] rope_theta must lie between 0 and 1e+12: -1"},
    {"tiny", {"model.initializer_range=-0.5"}, "[model] initializer_range must be from 0 to 10: -0.5"},
    {"tiny",
     {"model.hidden_size=1048576", "model.n_routed_experts=65536", "model.moe_intermediate_size=16777216"},
     "[model] the model's parameters cannot be counted in 64 bits: hidden_size 1048576, width 16777216"},
    // experts
    {"tiny",
     {"model.num_experts_per_tok=9"},
     "[model] num_experts_per_tok must be from 1 to n_routed_experts: 9 and 8; a token cannot visit more experts than "
     "there are"},
    {"tiny",
     {"model.num_experts_per_tok=0"},
     "[model] num_experts_per_tok must be from 1 to n_routed_experts: 0 and 8; a token cannot visit more experts than "
     "there are"},
    {"tiny", {"model.n_routed_experts=-1"}, "[model] n_routed_experts must be from 0 to 65536: -1"},
    {"tiny", {"model.n_shared_experts=-1"}, "[model] n_shared_experts must be from 0 to 65536: -1"},
    {"tiny", {"model.moe_intermediate_size=0"}, "[model] moe_intermediate_size must be from 1 to 16777216: 0"},
    {"tiny", {"model.first_k_dense_replace=4"}, "[model] first_k_dense_replace must be from 0 to 3: 4"},
    {"tiny", {"model.moe_layer_freq=0"}, "[model] moe_layer_freq must be from 1 to 10000: 0"},
    {"tiny", {"model.routed_scaling_factor=0"}, "[model] routed_scaling_factor must lie between 0 and 1e+06: 0"},
    {"tiny",
     {"model.topk_method=group_limited_greedy", "model.n_group=3", "model.topk_group=1"},
     "[model] n_group must divide n_routed_experts: 3 and 8"},
    {"tiny",
     {"model.topk_method=group_limited_greedy", "model.n_group=4", "model.topk_group=5"},
     "[model] topk_group must be from 1 to 4: 5"},
    {"tiny",
     {"model.topk_method=group_limited_greedy", "model.n_group=4", "model.topk_group=1"},
     "[model] num_experts_per_tok must fit in topk_group groups: 3 and 2"},
    {"tiny",
     {"model.n_group=4", "model.topk_group=2"},
     "[model] topk_group must equal n_group where topk_method is greedy: 2 and 4; group_limited_greedy and noaux_tc "
     "pick inside groups"},
    {"mini-hash",
     {"model.topk_method=noaux_tc"},
     "[model] topk_method must be greedy where router_type is not topk: noaux_tc"},
    {"tiny", {"model.router_type=gshard"}, "[model] num_experts_per_tok must be 2 where router_type is gshard: 3"},
    {"mini-dense",
     {"model.n_shared_experts=2"},
     "[model] n_shared_experts must be 0 where n_routed_experts is 0: 2; a dense rival of n shared experts has "
     "intermediate_size = n times their width"},
    {"mini-dense",
     {"model.num_experts_per_tok=2"},
     "[model] num_experts_per_tok must be 0 where n_routed_experts is 0: 2; a dense rival of n shared experts has "
     "intermediate_size = n times their width"},
    {"mini-dense",
     {"model.moe_intermediate_size=9223372036854775807"},
     "[model] moe_intermediate_size must be from 0 to 16777216: 9223372036854775807"},
    // batches
    {"tiny", {"train.seed=-1"}, "[train] seed must be from 0 to 9223372036854775807: -1"},
    {"tiny", {"train.steps=0"}, "[train] steps must be from 1 to 1099511627776: 0"},
    {"tiny", {"train.minutes=-1"}, "[train] minutes must be from 0 to 1e+07: -1"},
    {"tiny", {"train.sequence_length=0"}, "[train] sequence_length must be from 1 to 16777216: 0"},
    {"tiny",
     {"train.sequence_length=65"},
     "[train] sequence_length must not exceed model.max_position_embeddings: 65 and 64"},
    {"tiny", {"train.micro_batch=0"}, "[train] micro_batch must be from 1 to 16777216: 0"},
    {"tiny", {"train.global_batch=0"}, "[train] global_batch must be from 1 to 16777216: 0"},
    {"tiny",
     {"train.micro_batch=3"},
     "[train] global_batch must be a multiple of micro_batch: 8 and 3; a step is made of whole micro-batches"},
    {"tiny",
     {"model.max_position_embeddings=16777216", "train.sequence_length=16777216", "train.global_batch=16777216",
      "train.micro_batch=1", "train.steps=1099511627776"},
     "[train] the run's tokens cannot be counted in 64 bits: 1099511627776 steps of 281474976710656"},
    // optimiser
    {"tiny", {"train.learning_rate=-1"}, "[train] learning_rate must be from 0 to 100: -1"},
    {"tiny", {"train.warmup_steps=-1"}, "[train] warmup_steps must be from 0 to 1099511627776: -1"},
    {"tiny", {"train.min_learning_rate_ratio=2"}, "[train] min_learning_rate_ratio must be from 0 to 1: 2"},
    {"tiny", {"train.decay_factor=1.5"}, "[train] decay_factor must be from 0 to 1: 1.5"},
    {"tiny", {"train.decay_points=[0.9, 0.8]"}, "[train] decay_points must rise between 0 and 1: 0.8"},
    {"tiny", {"train.decay_points=[0.5, 1.5]"}, "[train] decay_points must rise between 0 and 1: 1.5"},
    {"tiny", {"train.beta1=1"}, "[train] beta1 must be at least 0 and below 1: 1"},
    {"tiny", {"train.beta2=-0.1"}, "[train] beta2 must be at least 0 and below 1: -0.1"},
    {"tiny", {"train.adam_eps=0"}, "[train] adam_eps must lie between 0 and 1: 0"},
    {"tiny", {"train.weight_decay=-0.1"}, "[train] weight_decay must be from 0 to 10: -0.1"},
    {"tiny", {"train.clip_norm=-1"}, "[train] clip_norm must be from 0 to 1e+06: -1"},
    // balance
    {"tiny", {"train.aux_loss_alpha=-1"}, "[train] aux_loss_alpha must be from 0 to 1000: -1"},
    {"mini-dense",
     {"train.aux_loss_alpha=0.5"},
     "[train] aux_loss_alpha must be 0 for a model without a learned router: 0.5; the model is dense"},
    {"mini-hash",
     {"train.z_loss_alpha=0.5"},
     "[train] z_loss_alpha must be 0 for a model without a learned router: 0.5; a hash router has nothing to balance"},
    {"tiny", {"train.n_device_groups=3"}, "[train] n_device_groups must divide model.n_routed_experts: 3 and 8"},
    {"tiny",
     {"train.device_aux_loss_alpha=0.05"},
     "[train] device_aux_loss_alpha and comm_aux_loss_alpha need n_device_groups above 1: 1"},
    {"tiny", {"train.capacity_factor=-1"}, "[train] capacity_factor must be from 0 to 1e+06: -1"},
    {"tiny",
     {"train.random_second_expert=true"},
     "[train] random_second_expert must be false unless model.router_type is gshard: true"},
    {"tiny",
     {"train.bias_update_rate=0.001"},
     "[train] bias_update_rate must be 0 unless model.topk_method is noaux_tc: 0.001; only noaux_tc has a bias to "
     "move"},
    // adapters
    {"tiny", {"train.lora_rank=-1"}, "[train] lora_rank must be from 0 to 65536: -1"},
    {"tiny", {"train.lora_alpha=-1"}, "[train] lora_alpha must be from 0 to 1e+06: -1"},
    {"tiny",
     {"model.topk_method=noaux_tc", "train.bias_update_rate=0.001", "train.lora_rank=2"},
     "[train] bias_update_rate must be 0 with lora_rank above 0: 0.001; the base stays as it is"},
    {"tiny",
     {"train.lora_rank=2", "train.lora_targets=q_proj, gate"},
     "[train] a target must name a weight matrix of the model: \"gate\" names none; attention, dense, shared, experts, "
     "all, or parts of names such as q_proj and mlp.experts.5"},
    // experts that train while all else stays
    {"tiny",
     {"model.topk_method=noaux_tc", "train.bias_update_rate=0.001", "train.lora_targets=mlp.experts.2"},
     "[train] bias_update_rate must be 0 where lora_targets names experts that train: 0.001; all else stays as it is"},
    {"tiny",
     {"train.lora_targets=mlp.experts.2, experts.3.up_proj"},
     "[train] lora_targets must be all, or name whole routed experts, with lora_rank 0: \"mlp.experts.2, "
     "experts.3.up_proj\"; mlp.experts.5 is one of every layer, layers.2.mlp.experts.5 of one"},
    {"mini-dense",
     {"train.lora_targets=mlp.experts.2"},
     "[train] a target must name a weight matrix of the model: \"mlp.experts.2\" names none; attention, dense, shared, "
     "experts, all, or parts of names such as q_proj and mlp.experts.5"},
    // habits, data, processes, plan
    {"tiny", {"train.log_every=0"}, "[train] log_every must be from 1 to 1099511627776: 0"},
    {"tiny", {"train.validate_every=-1"}, "[train] validate_every must be from 0 to 1099511627776: -1"},
    {"tiny", {"train.validate_tokens=-1"}, "[train] validate_tokens must be from 0 to 1099511627776: -1"},
    {"tiny", {"train.checkpoint_every=-1"}, "[train] checkpoint_every must be from 0 to 1099511627776: -1"},
    {"tiny", {"train.keep_checkpoints=0"}, "[train] keep_checkpoints must be from 1 to 1048576: 0"},
    {"tiny", {"train.sample_every=-1"}, "[train] sample_every must be from 0 to 1099511627776: -1"},
    {"tiny", {"data.weights.code=-1"}, "[data] weights.\"code\" must be from 0 to 1e+09: -1"},
    {"tiny", {"data.weights.code=0"}, "[data] weights must not all be 0: 0"},
    {"tiny", {"data.weights={\"\" = 1}"}, "[data] a domain in weights must have a name: \"\""},
    {"tiny", {"parallel.expert=0"}, "[parallel] expert must be from 1 to 65536: 0"},
    {"tiny", {"parallel.expert=9"}, "[parallel] expert must be at most model.n_routed_experts: 9 and 8"},
    {"nano-dense", {"parallel.expert=2"}, "[parallel] expert must be 1 for a dense model: 2"},
    {"tiny",
     {"parallel.expert=2", "train.lora_rank=2"},
     "[parallel] expert must be 1 unless all weights train: 2; train.lora_rank and train.lora_targets choose what "
     "does"},
    {"tiny",
     {"parallel.expert=4", "train.n_device_groups=2", "train.device_aux_loss_alpha=0.1"},
     "[parallel] expert must divide train.n_device_groups where a loss balances devices: 4 and 2; else a group would "
     "lie on two processes"},
    {"tiny", {"plan.nominal_ffn=-1"}, "[plan] nominal_ffn must be from 0 to 1e+06: -1"},
    {"tiny", {"plan.ranks=0"}, "[plan] ranks must be from 1 to 1048576: 0"},
    {"tiny", {"plan.flops_per_second=-1"}, "[plan] flops_per_second must be from 0 to 1e+30: -1"},
    {"tiny", {"plan.link_bytes_per_second=-1"}, "[plan] link_bytes_per_second must be from 0 to 1e+30: -1"},
};

TEST(Rules, EachBrokenOnceSaysSo) {
  for (const Broken& broken : kBroken) {
    try {
      resolve(broken.preset, broken.overrides);
      ADD_FAILURE() << "accepted: " << broken.overrides.back();
    } catch (const base::Error& error) {
      EXPECT_STREQ(error.what(), broken.error);
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    }
  }
}

// A struct filled by code, past the reader that refuses nan: ranges hold there too.
TEST(Rules, NanIsInNoRange) {
  RunConfig defaults;
  visit_run_fields(defaults, [&](const std::string& section, const char* name, auto& member, const char*) {
    if constexpr (std::is_same_v<std::decay_t<decltype(member)>, double>) {
      for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        const double good = member;
        member = bad;
        EXPECT_THROW(validate(defaults), base::Error) << section << "." << name << " = " << bad;
        member = good;
      }
    }
  });
  validate(defaults);
}

// Whatever the integers, a configuration is refused by an Error or counted without overflow (run under UBSan too).
TEST(Rules, ExtremeIntegersAreRefusedOrHarmless) {
  RunConfig config = resolve("tiny").config;
  visit_run_fields(config, [&](const std::string&, const char*, auto& member, const char*) {
    if constexpr (std::is_same_v<std::decay_t<decltype(member)>, int64_t>) {
      for (const int64_t extreme : {std::numeric_limits<int64_t>::min(), int64_t{-1}, int64_t{0}, int64_t{1} << 24,
                                    std::numeric_limits<int64_t>::max()}) {
        const int64_t good = member;
        member = extreme;
        try {
          validate(config);
        } catch (const base::Error& error) {
          EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
        }
        member = good;
      }
    }
  });
}

}  // namespace
}  // namespace dsmoe::spec
