// The parts of a training step beside experts and linear layers, forward and backward, on our kernels (composed 0) and
// as LibTorch's expressions (composed 1). Each figure is one layer's; shape 0 is mini-deepseekmoe with 8 sequences, 1
// is middle-deepseekmoe with 16. bf16, two threads unless DSMOE_THREADS says otherwise.
//
//   build/bench/ops_torch_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>

#include "model/attention.h"
#include "model/cross_entropy.h"
#include "model/rms_norm.h"
#include "moe/balance_term.h"
#include "moe/registry.h"
#include "spec/settings.h"
#include "train/tensor_memory.h"

namespace {

using torch::Tensor;
using namespace dsmoe;  // NOLINT

struct Shape {
  spec::ModelConfig config;
  int64_t sequences, positions;
  int64_t tokens() const { return sequences * positions; }
};
Shape shape_of(benchmark::State& state) {
  const bool composed = state.range(1) == 1;
  composed ? ::setenv("DSMOE_COMPOSED", "1", 1) : ::unsetenv("DSMOE_COMPOSED");
  torch::manual_seed(1);
  if (state.range(0) == 0) return {spec::resolve("mini-deepseekmoe").config.model, 8, 512};
  return {spec::resolve("middle-deepseekmoe").config.model, 16, 1024};
}
Tensor leaf(const std::vector<int64_t>& sizes, double scale = 1, torch::ScalarType type = torch::kBFloat16) {
  return (torch::randn(sizes) * scale).to(type).requires_grad_();
}
void count(benchmark::State& state, double flops) {
  const auto passes = static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * passes / 1e9, benchmark::Counter::kIsRate);
}
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"shape", "composed"})->ArgsProduct({{0, 1}, {0, 1}})->Unit(benchmark::kMillisecond)->UseRealTime();
}

void attention(benchmark::State& state) {
  const Shape s = shape_of(state);
  const model::AttentionShape shape{moe::Sequences::equal(s.sequences, s.positions), s.config.num_attention_heads,
                                    s.config.num_key_value_heads, s.config.head_dim()};
  const auto rotary = model::rotary_table(s.positions, shape.head_size, s.config.rope_theta, torch::kBFloat16);
  const Tensor qkv = leaf({s.tokens(), shape.width()}),
               grad = torch::randn({s.tokens(), s.config.hidden_size}).to(torch::kBFloat16);
  for (auto _ : state) {
    qkv.mutable_grad() = Tensor();
    torch::autograd::backward({model::causal_attention(qkv, rotary, shape)}, {grad});
  }
  // 2 products forward, 5 backward, over the half of S x S that is seen
  count(state, 7.0 * static_cast<double>(s.tokens() * s.positions * s.config.hidden_size));
}
BENCHMARK(attention)->Apply(shapes);

void attention_forward(benchmark::State& state) {
  const Shape s = shape_of(state);
  const model::AttentionShape shape{moe::Sequences::equal(s.sequences, s.positions), s.config.num_attention_heads,
                                    s.config.num_key_value_heads, s.config.head_dim()};
  const auto rotary = model::rotary_table(s.positions, shape.head_size, s.config.rope_theta, torch::kBFloat16);
  const Tensor qkv = leaf({s.tokens(), shape.width()});
  const torch::NoGradGuard no_grad;
  for (auto _ : state) benchmark::DoNotOptimize(model::causal_attention(qkv, rotary, shape));
  count(state, 2.0 * static_cast<double>(s.tokens() * s.positions * s.config.hidden_size));
}
BENCHMARK(attention_forward)->Apply(shapes);

void cross_entropy(benchmark::State& state) {
  const Shape s = shape_of(state);
  const Tensor x = leaf({s.tokens(), s.config.hidden_size});
  const Tensor head = leaf({s.config.vocab_size, s.config.hidden_size}, 0.05, torch::kFloat32);
  const auto weight = moe::trainable_weight(head);
  head.mutable_grad() = torch::zeros_like(head.detach());
  const Tensor targets = torch::randint(s.config.vocab_size, {s.tokens()}, torch::kInt64);
  for (auto _ : state) {
    x.mutable_grad() = Tensor();
    model::head_cross_entropy(x, weight, targets, 1.0 / static_cast<double>(s.tokens())).backward();
  }
  count(state, 6.0 * static_cast<double>(s.tokens() * s.config.vocab_size * s.config.hidden_size));
}
BENCHMARK(cross_entropy)->Apply(shapes);

/// With the gradient of the residual added.
void norm(benchmark::State& state) {
  const Shape s = shape_of(state);
  const Tensor x = leaf({s.tokens(), s.config.hidden_size}), weight = leaf({s.config.hidden_size});
  const Tensor grad = torch::randn(x.sizes()).to(torch::kBFloat16);
  for (auto _ : state) {
    x.mutable_grad() = Tensor();
    const auto branch = model::rms_norm_branch(x, weight, 1e-6);
    torch::autograd::backward({branch.x, branch.normed}, {grad, grad});
  }
}
BENCHMARK(norm)->Apply(shapes);

/// Router, selection and the balance term of a sequence, with the counts of a step's record.
void gate(benchmark::State& state) {
  const Shape s = shape_of(state);
  const auto& c = s.config;
  const Tensor x = leaf({s.tokens(), c.hidden_size});
  const Tensor router = leaf({c.n_routed_experts, c.hidden_size}, 0.05, torch::kFloat32);
  router.mutable_grad() = torch::zeros_like(router.detach());
  const auto gate = moe::make_gate(c, {}, {moe::trainable_weight(router), {}, {}});
  const moe::ExpertBalance balance(0.01, moe::BalanceScope::kSequence, false);
  const Tensor grad = torch::randn({s.tokens(), c.num_experts_per_tok});
  for (auto _ : state) {
    x.mutable_grad() = Tensor();
    moe::Routing routing = gate->route({x, {}, true, 0});
    routing.sequences = moe::Sequences::equal(s.sequences, s.positions);
    const Tensor loss = balance.loss(routing, static_cast<double>(s.tokens()));
    benchmark::DoNotOptimize(routing.counts_E(c.n_routed_experts));
    torch::autograd::backward({routing.weights_TK, loss}, {grad, torch::ones({})});
  }
}
BENCHMARK(gate)->Apply(shapes);

}  // namespace

int main(int argc, char** argv) {
  const char* threads = std::getenv("DSMOE_THREADS");
  at::set_num_threads(threads ? std::max(1, std::atoi(threads)) : 2);
  train::keep_tensor_memory();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
