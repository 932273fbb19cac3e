// For tests of the LibTorch rooms: gradients by central differences, random tensors, layers from a configuration.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "moe/registry.h"

namespace dsmoe::moe::testing {

/// Standard normal float64 values, the same on every machine.
inline Tensor random_tensor(const std::vector<int64_t>& sizes, uint64_t seed, double scale = 1.0) {
  Tensor out = torch::empty(sizes, torch::kFloat64);
  base::Rng rng(seed);
  for (int64_t i = 0; i < out.numel(); ++i) out.data_ptr<double>()[i] = scale * rng.normal();
  return out;
}

inline double largest(const Tensor& x) { return x.numel() == 0 ? 0 : x.abs().max().item<double>(); }
inline double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return largest(a.to(torch::kFloat64) - b.to(torch::kFloat64));
}

using TensorFunction = std::function<Tensor(const std::vector<Tensor>&)>;

/// The gradients autograd gives for sum(u * f(inputs)) with a fixed random u.
inline std::vector<Tensor> gradients_of(const TensorFunction& f, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const Tensor y = f(leaves);
  const Tensor u = random_tensor(y.sizes().vec(), 99).to(y.scalar_type());
  torch::autograd::backward({(y * u).sum()}, {});
  std::vector<Tensor> gradients;
  for (const Tensor& leaf : leaves) {
    gradients.push_back(leaf.grad().defined() ? leaf.grad().clone() : torch::zeros_like(leaf));
  }
  return gradients;
}

/// Autograd against central differences for every element of every input, in float64.
///
/// With step h the difference quotient errs by about h^2 f'''/6 + eps |f| / h; for h = 1e-5, eps = 1e-16 and functions
/// and derivatives of order one that is 1e-10 + 1e-11. The bound leaves a factor 1000 for larger derivatives.
inline void expect_gradients(const TensorFunction& f, const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> gradients = gradients_of(f, inputs);
  const torch::NoGradGuard no_grad;
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_EQ(inputs[i].scalar_type(), torch::kFloat64);
    const double tolerance = 1e-7 * std::max(1.0, largest(gradients[i]));
    for (int64_t j = 0; j < inputs[i].numel(); ++j) {
      const auto at = [&](double offset) {
        std::vector<Tensor> moved = inputs;
        moved[i] = inputs[i].clone().contiguous();
        moved[i].data_ptr<double>()[j] += offset;
        const Tensor y = f(moved);
        return (y * random_tensor(y.sizes().vec(), 99)).sum().item<double>();
      };
      const double numeric = (at(kStep) - at(-kStep)) / (2 * kStep);
      const double analytic = gradients[i].contiguous().data_ptr<double>()[j];
      ASSERT_NEAR(analytic, numeric, tolerance) << "input " << i << ", element " << j;
    }
  }
}

/// A small mixture layer's configuration.
inline spec::ModelConfig small_config(int64_t experts = 8, int64_t chosen = 2, int64_t shared = 1) {
  spec::ModelConfig config;
  config.vocab_size = 16;
  config.hidden_size = 6;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.n_routed_experts = experts;
  config.n_shared_experts = shared;
  config.num_experts_per_tok = chosen;
  config.moe_intermediate_size = 5;
  config.n_group = config.topk_group = experts % 4 == 0 ? 4 : 1;  // gates that know groups take half of them
  return config;
}

/// Random weights of a mixture layer as plain tensors: router, gate_up, down, shared gate_up, shared down.
inline std::vector<Tensor> random_weights(const spec::ModelConfig& c, uint64_t seed = 1) {
  const int64_t e = c.n_routed_experts, f = c.moe_intermediate_size, d = c.hidden_size;
  std::vector<Tensor> all{random_tensor({e, d}, seed), random_tensor({e, 2 * f, d}, seed + 1, 0.5),
                          random_tensor({e, d, f}, seed + 2, 0.5)};
  if (c.n_shared_experts > 0) {
    all.push_back(random_tensor({2 * c.shared_intermediate_size(), d}, seed + 3, 0.5));
    all.push_back(random_tensor({d, c.shared_intermediate_size()}, seed + 4, 0.5));
  }
  return all;
}

/// A weight that is a node of somebody else's graph: get() hands it out as it is.
class GraphWeight final : public Weight {
 public:
  explicit GraphWeight(const Tensor& value) : value_(value) {}
  std::vector<int64_t> sizes() const override { return value_.sizes().vec(); }
  torch::ScalarType type() const override { return value_.scalar_type(); }
  Tensor get(torch::ScalarType type) const override { return value_.to(type); }
  Tensor trainable() const override { return {}; }
  Tensor graph() const override { return value_; }
  PackedWeight packed(torch::ScalarType type, WeightRows rows) const override {
    pack_weight(value_.detach(), type, rows, packed_);
    return packed_;
  }

 private:
  Tensor value_;
  mutable PackedWeight packed_;
};
inline WeightPtr graph_weight(const Tensor& value) { return std::make_shared<GraphWeight>(value); }

/// A hash table that spreads tokens over experts, and a bias that changes some choices.
inline GateTensors gate_tensors(const spec::ModelConfig& c, const Tensor& router) {
  Tensor table = torch::empty({c.vocab_size, c.num_experts_per_tok}, torch::kInt32);
  for (int64_t v = 0; v < c.vocab_size; ++v) {
    for (int64_t k = 0; k < c.num_experts_per_tok; ++k) {
      table.data_ptr<int32_t>()[v * c.num_experts_per_tok + k] =
          static_cast<int32_t>((5 * v + 3 * k) % c.n_routed_experts);
    }
  }
  return {graph_weight(router), random_tensor({c.n_routed_experts}, 7, 0.1), table};
}

/// `ranks` have the experts between them; `w` has this one's.
inline MoeLayer layer_of(const spec::ModelConfig& c, const TrainingOptions& training, const std::vector<Tensor>& w,
                         const comm::Group& ranks = {}) {
  MoeWeights weights{gate_tensors(c, w[0]), graph_weight(w[1]), graph_weight(w[2]), nullptr, nullptr};
  if (w.size() > 3) {
    weights.shared_gate_up = graph_weight(w[3]);
    weights.shared_down = graph_weight(w[4]);
  }
  return make_moe_layer(c, training, weights, ranks);
}

/// Token ids 0, 1, 2, ... within the vocabulary of small_config.
inline Tensor some_ids(int64_t tokens) { return torch::arange(tokens, torch::kInt64).remainder(16); }

inline MoeContext context_of(int64_t tokens, bool training = false, int64_t sequences = 1) {
  MoeContext context;
  context.token_ids_T = some_ids(tokens);
  context.sequences = Sequences::equal(sequences, tokens / sequences);
  context.training = training;
  context.total_tokens = static_cast<double>(tokens);
  return context;
}

}  // namespace dsmoe::moe::testing
