// For tests: a dozen odd little models, one or more for every gate, and random weights that make a wrong gate show.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "engine/weights.h"
#include "spec/tensors.h"

namespace dsmoe::engine::testing {

struct NamedConfig {
  std::string name;
  spec::ModelConfig config;
};
inline void PrintTo(const NamedConfig& named, std::ostream* out) { *out << named.name; }
inline std::string config_label(const ::testing::TestParamInfo<NamedConfig>& info) { return info.param.name; }

/// 2 layers of D 24 in 3 heads of 8 and 1 + 6 experts of 10, top 2; V 37.
inline spec::ModelConfig small_config() {
  spec::ModelConfig c;
  c.vocab_size = 37;
  c.hidden_size = 24;
  c.num_hidden_layers = 2;
  c.num_attention_heads = c.num_key_value_heads = 3;
  c.intermediate_size = 29;
  c.max_position_embeddings = 300;
  c.n_routed_experts = 6;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  c.moe_intermediate_size = 10;
  return c;
}

template <class Change>
NamedConfig changed(const std::string& name, Change change) {
  NamedConfig named{name, small_config()};
  change(named.config);
  spec::validate(named.config, name);
  return named;
}

inline std::vector<NamedConfig> odd_configs() {
  using spec::ModelConfig, spec::RouterType, spec::ScoringFunc, spec::TopkMethod;
  const auto v3 = [](ModelConfig& c) {
    c.scoring_func = ScoringFunc::kSigmoid;
    c.topk_method = TopkMethod::kNoauxTc;
    c.norm_topk_prob = true;
    c.routed_scaling_factor = 2.5;
  };
  return {
      changed("softmax_topk", [](ModelConfig&) {}),
      changed("dense_llama_grouped_heads",
              [](ModelConfig& c) {
                c.n_routed_experts = c.n_shared_experts = c.num_experts_per_tok = 0;
                c.hidden_size = 30, c.num_attention_heads = 5, c.num_key_value_heads = 1;
              }),
      changed("first_layers_dense",
              [](ModelConfig& c) { c.num_hidden_layers = 4, c.first_k_dense_replace = 2, c.n_shared_experts = 2; }),
      changed("every_second_layer", [](ModelConfig& c) { c.num_hidden_layers = 5, c.moe_layer_freq = 2; }),
      changed("no_shared_many_experts",
              [](ModelConfig& c) { c.n_shared_experts = 0, c.n_routed_experts = 33, c.num_experts_per_tok = 5; }),
      changed("normalised_gates",
              [](ModelConfig& c) { c.norm_topk_prob = true, c.routed_scaling_factor = 3, c.num_experts_per_tok = 3; }),
      changed("scaled_gates", [](ModelConfig& c) { c.routed_scaling_factor = 1.7; }),
      changed("switch", [](ModelConfig& c) { c.num_experts_per_tok = 1, c.n_shared_experts = 0; }),
      changed("switch_asked_to_normalise", [](ModelConfig& c) { c.num_experts_per_tok = 1, c.norm_topk_prob = true; }),
      changed("all_experts", [](ModelConfig& c) { c.num_experts_per_tok = c.n_routed_experts; }),
      changed("one_expert", [](ModelConfig& c) { c.num_experts_per_tok = c.n_routed_experts = 1; }),
      changed("gshard", [](ModelConfig& c) { c.router_type = RouterType::kGshard, c.n_shared_experts = 0; }),
      changed("hash", [](ModelConfig& c) { c.router_type = RouterType::kHash, c.num_experts_per_tok = 1; }),
      changed("hash_two", [](ModelConfig& c) { c.router_type = RouterType::kHashBalanced; }),
      changed("sigmoid", [](ModelConfig& c) { c.scoring_func = ScoringFunc::kSigmoid, c.routed_scaling_factor = 0.5; }),
      changed("group_limited",
              [](ModelConfig& c) {
                c.topk_method = TopkMethod::kGroupLimitedGreedy;
                c.n_routed_experts = 12, c.n_group = 4, c.topk_group = 2, c.num_experts_per_tok = 3;
                c.routed_scaling_factor = 16;
              }),
      changed("deepseek_v3", [&](ModelConfig& c) { v3(c); }),
      changed("deepseek_v3_groups",
              [&](ModelConfig& c) {
                v3(c);
                c.n_routed_experts = 12, c.n_group = 3, c.topk_group = 2, c.num_experts_per_tok = 4;
              }),
      changed("softmax_with_bias",
              [](ModelConfig& c) {
                c.topk_method = TopkMethod::kNoauxTc, c.routed_scaling_factor = 1.2;
                c.num_attention_heads = 6, c.num_key_value_heads = 2;  // heads of 4, grouped by 3
              }),
      changed("odd_sizes",
              [](ModelConfig& c) {
                c.vocab_size = 101, c.hidden_size = 34, c.num_attention_heads = c.num_key_value_heads = 17;
                c.moe_intermediate_size = 7, c.n_routed_experts = 5, c.n_shared_experts = 3;
              }),
  };
}

/// The one of that name; it must be there.
inline NamedConfig odd_config(std::string_view name) {
  for (NamedConfig& named : odd_configs()) {
    if (named.name == name) return std::move(named);
  }
  throw std::out_of_range(std::string(name));
}

/// Matrices N(0, 1 / columns), so that every layer matters as much as the stream it is added to; norms around 1;
/// biases of a size that changes picks; hash tables without repeats.
inline FloatTensors random_tensors(const spec::ModelConfig& config, uint64_t seed) {
  base::Rng rng(seed);
  FloatTensors tensors;
  spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()));
    const double deviation = 1 / std::sqrt(static_cast<double>(tensor.shape.back()));
    for (float& value : values) {
      switch (tensor.role) {
        case spec::TensorRole::kNorm:
          value = static_cast<float>(1 + 0.2 * rng.normal());
          break;
        case spec::TensorRole::kRouterBias:
          value = static_cast<float>(0.1 * rng.normal());
          break;
        case spec::TensorRole::kEmbedding:
          value = static_cast<float>(rng.normal());
          break;
        case spec::TensorRole::kRouter:
          value = static_cast<float>(2 * deviation * rng.normal());
          break;
        default:
          value = static_cast<float>(deviation * rng.normal());
      }
    }
    for (size_t i = 0; tensor.role == spec::TensorRole::kHashTable && i < values.size(); ++i) {
      const auto K = static_cast<size_t>(config.num_experts_per_tok);
      const auto E = static_cast<uint64_t>(config.n_routed_experts);
      values[i] = i % K == 0 ? static_cast<float>(rng.below(E)) : std::fmod(values[i - 1] + 1, static_cast<float>(E));
    }
    tensors[tensor.name] = {tensor.shape, std::move(values)};
  });
  return tensors;
}

inline Weights random_weights(const spec::ModelConfig& config, uint64_t seed = 1) {
  return Weights::from_tensors(config, random_tensors(config, seed));
}

inline std::vector<int32_t> random_ids(const spec::ModelConfig& config, int64_t count, uint64_t seed = 5) {
  base::Rng rng(seed);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab_size))));
  }
  return ids;
}

/// How far float32 logits may be from the reference's, relative to the largest logit.
///
/// One dot product of n terms errs by (n/8 + 4) roundings of the sizes it adds (kernels/testing.h), which for random
/// weights are up to sqrt(n) times the size of the sum. A block chains at most five products (q or k, scores and
/// values; v, o; or gate or up, down) and 30 roundings of norms, exponentials and gates; softmax and silu may double a
/// relative error once each. Errors of the blocks add up in the residual stream, and gates may scale what they add.
inline double engine_bound(const spec::ModelConfig& c, int64_t positions) {
  const auto product = [](int64_t n) {
    const auto x = static_cast<double>(n);
    return (x / 8 + 4) * std::sqrt(x);
  };
  const int64_t width = std::max({c.hidden_size, c.intermediate_size, c.shared_intermediate_size()});
  const double block = 4 * (4 * product(width) + 3 * static_cast<double>(positions) + 30);
  const double gates = std::max(1.0, c.routed_scaling_factor);
  return static_cast<double>(c.num_hidden_layers * 2 + 1) * block * gates * 0x1p-24;
}

}  // namespace dsmoe::engine::testing
