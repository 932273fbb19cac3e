// The expert bank of `mini-deepseekmoe` forward and backward: packed batches against a loop over experts, under even
// and uneven load; and a whole training step without the optimiser. Two threads unless DSMOE_THREADS says otherwise.
//
//   build/bench/moe_torch_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>

#include "model/transformer.h"
#include "moe/expert_bank.h"
#include "spec/settings.h"

namespace {

using dsmoe::moe::ExpertBank;
using torch::Tensor;

constexpr int64_t kTokens = 4096;

torch::ScalarType type_of(int64_t bits) { return bits == 16 ? torch::kBFloat16 : torch::kFloat32; }

void count(benchmark::State& state, double tokens, double flops) {
  const auto passes = static_cast<double>(state.iterations());
  state.counters["tokens/s"] = benchmark::Counter(tokens * passes, benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * passes / 1e9, benchmark::Counter::kIsRate);
}

/// Arguments: bits of the type, packed or loop, spread of the experts' popularity in tenths.
void expert_bank(benchmark::State& state) {
  constexpr int64_t kExperts = 63, kChosen = 7, kHidden = 256, kWidth = 192;
  const auto type = type_of(state.range(0));
  torch::manual_seed(1);
  const auto leaf = [&](std::vector<int64_t> sizes, double scale) {
    return (torch::randn(sizes) * scale).to(type).requires_grad_();
  };
  const Tensor x = leaf({kTokens, kHidden}, 1);
  const Tensor gate_up = leaf({kExperts, 2 * kWidth, kHidden}, 0.05), down = leaf({kExperts, kHidden, kWidth}, 0.05);
  const Tensor weights = torch::rand({kTokens, kChosen}).requires_grad_();
  const Tensor popularity = torch::randn({1, kExperts}) * (static_cast<double>(state.range(2)) / 10);
  const Tensor grad = torch::randn({kTokens, kHidden}).to(type);
  const ExpertBank bank(dsmoe::moe::trainable_weight(gate_up), dsmoe::moe::trainable_weight(down));
  for (auto _ : state) {
    const Tensor choice = std::get<1>((torch::randn({kTokens, kExperts}) + popularity).topk(kChosen, -1));
    const dsmoe::moe::ExpertWork work{x, weights, dsmoe::moe::plan_slots(choice, {}, kExperts)};
    torch::autograd::backward({state.range(1) ? bank.forward(work) : bank.forward_reference(work)}, {grad});
  }
  count(state, kTokens, 3.0 * 2 * kTokens * kChosen * 3 * kHidden * kWidth);
}
BENCHMARK(expert_bank)
    ->ArgNames({"bits", "packed", "skew"})
    ->ArgsProduct({{16, 32}, {0, 1}, {0, 7}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// Argument: bits. Sequences of 512, eight of them.
void mini_step(benchmark::State& state) {
  const dsmoe::spec::ModelConfig config = dsmoe::spec::resolve("mini-deepseekmoe").config.model;
  dsmoe::moe::TrainingOptions training;
  training.aux_loss_alpha = 0.01;
  dsmoe::model::TransformerOptions options;
  options.compute = type_of(state.range(0));
  dsmoe::model::Transformer model(config, training, options);
  model.initialise(1);
  for (auto _ : state) {
    const Tensor ids = torch::randint(config.vocab_size, {8, 512}, torch::kInt64);
    model.forward_loss({ids, ids.roll(-1, 1)}, {kTokens, kTokens}).total().backward();
    state.PauseTiming();  // the optimiser's part: the bfloat16 copies must be made anew
    const torch::NoGradGuard no_grad;
    for (const auto& p : model.parameters()) Tensor(p.value).add_(p.value.grad(), -0.01);
    for (const auto& p : model.parameters()) p.value.grad().zero_();
    state.ResumeTiming();
  }
  count(state, kTokens, 0.03785e12 * 8);  // presets: 0.03785 TFLOP a sequence of 512
}
BENCHMARK(mini_step)->ArgName("bits")->Arg(16)->Arg(32)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
  const char* threads = std::getenv("DSMOE_THREADS");
  at::set_num_threads(threads ? std::max(1, std::atoi(threads)) : 2);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
