// A mixture layer forward and backward, optimiser left out, at the width of `middle-deepseekmoe` (D 768, experts of
// 512, one shared, 16,384 tokens): its time over the number of routed experts, and under a load that has collapsed onto
// as many experts as a token visits. Ratios of rows of one run are what counts.
//
//   build/bench/moe_torch_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only
//
// Two threads unless DSMOE_THREADS says otherwise; DSMOE_COMPOSED=1 measures LibTorch's operations instead.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdlib>

#include "moe/registry.h"
#include "train/tensor_memory.h"

namespace {

using dsmoe::moe::trainable_weight;
using dsmoe::moe::WeightPtr;
using torch::Tensor;

constexpr int64_t kTokens = 16384, kHidden = 768, kWidth = 512, kChosen = 7;

/// A float32 leaf with memory for its gradient, as the optimiser gives it.
WeightPtr weight(std::vector<int64_t> sizes) {
  Tensor master = (torch::randn(sizes) / std::sqrt(static_cast<double>(sizes.back()))).requires_grad_();
  master.mutable_grad() = torch::zeros(sizes);
  return trainable_weight(master);
}

/// Arguments: routed experts; whether every token visits the same kChosen of them.
void mixture_layer(benchmark::State& state) {
  const int64_t experts = state.range(0);
  const bool collapsed = state.range(1) != 0;
  dsmoe::spec::ModelConfig config;
  config.hidden_size = kHidden;
  config.n_routed_experts = experts;
  config.n_shared_experts = 1;
  config.num_experts_per_tok = kChosen;
  config.moe_intermediate_size = kWidth;
  torch::manual_seed(1);
  dsmoe::moe::MoeWeights weights;
  weights.gate.router = weight({experts, kHidden});
  weights.gate_up = weight({experts, 2 * kWidth, kHidden});
  weights.down = weight({experts, kHidden, kWidth});
  weights.shared_gate_up = weight({2 * kWidth, kHidden});
  weights.shared_down = weight({kHidden, kWidth});
  Tensor x = torch::randn({kTokens, kHidden});
  if (collapsed) {  // a component that all tokens share, and that some experts love
    const torch::NoGradGuard no_grad;
    x.select(1, 0).fill_(8);
    weights.gate.router->trainable().select(1, 0).narrow(0, 0, kChosen).fill_(8);
  }
  x = x.to(torch::kBFloat16).requires_grad_();
  dsmoe::moe::TrainingOptions training;
  training.aux_loss_alpha = 0.01;
  const dsmoe::moe::MoeLayer layer = dsmoe::moe::make_moe_layer(config, training, weights);
  dsmoe::moe::MoeContext context;
  context.token_ids_T = torch::zeros({kTokens}, torch::kInt64);
  context.sequences = dsmoe::moe::Sequences::equal(16, kTokens / 16);
  context.training = true;
  context.total_tokens = kTokens;
  const Tensor grad = torch::randn({kTokens, kHidden}).to(torch::kBFloat16);
  int64_t busy = 0;
  const auto pass = [&] {
    const dsmoe::moe::MoeOutput out = layer.forward(x, context, 0);
    torch::autograd::backward({out.y_TD, out.balance_loss}, {grad, torch::ones({})});
    busy = out.routing.counts_E(experts).gt(0).sum().item<int64_t>();
  };
  pass();  // packs the weights, which an optimiser does in a step, and touches the memory
  for (auto _ : state) pass();
  const auto passes = static_cast<double>(state.iterations());
  const double flops = 3.0 * 2 * kTokens * (kChosen + 1) * 3 * kHidden * kWidth;
  state.counters["tokens/s"] = benchmark::Counter(kTokens * passes, benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * passes / 1e9, benchmark::Counter::kIsRate);
  state.counters["busy experts"] = static_cast<double>(busy);
}
BENCHMARK(mixture_layer)
    ->ArgNames({"experts", "collapsed"})
    ->Args({16, 0})
    ->Args({63, 0})
    ->Args({63, 1})
    ->Args({256, 0})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(3)
    ->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
  dsmoe::train::keep_tensor_memory();
  const char* threads = std::getenv("DSMOE_THREADS");
  at::set_num_threads(threads ? std::max(1, std::atoi(threads)) : 2);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
