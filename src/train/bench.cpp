#include "train/bench.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <numeric>

#include "base/part_clock.h"
#include "base/rng.h"
#include "spec/counts.h"
#include "train/memory_need.h"
#include "train/trainer.h"

namespace dsmoe::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A field of /proc/self/status in bytes; 0 where there is none.
int64_t status_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1)) * 1024;
  }
  return 0;
}

// Makes the high-water mark begin anew at what is held now, where the kernel allows it.
void reset_high_water_mark() { std::ofstream("/proc/self/clear_refs") << "5"; }

double gemm_flops_per_s() {
  constexpr int64_t kSize = 2048;
  const torch::NoGradGuard no_grad;
  const torch::Tensor a = torch::ones({kSize, kSize}, torch::kBFloat16), b = torch::ones_like(a);
  torch::Tensor c = torch::mm(a, b);
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    torch::mm_out(c, a, b);
    best = std::min(best, seconds_since(start));
  }
  return 2.0 * kSize * kSize * kSize / best;
}

corpus::RowSource random_rows(int64_t vocab_size) {
  return [vocab_size](int64_t step, int64_t row, std::span<int32_t> out) {
    for (size_t i = 0; i < out.size(); ++i) {
      const uint64_t bits = base::random_bits(static_cast<uint64_t>(step), static_cast<uint64_t>(row), i);
      out[i] = static_cast<int32_t>(bits % static_cast<uint64_t>(vocab_size));
    }
  };
}

}  // namespace

double bench_flops_per_token(const spec::ModelConfig& config, int64_t sequence_length) {
  const int64_t matrices = spec::count_activated(config).total() - config.vocab_size * config.hidden_size;
  return 6.0 * static_cast<double>(matrices) +
         6.0 * static_cast<double>(config.num_hidden_layers * config.hidden_size * sequence_length);
}

BenchResult run_bench(const spec::RunConfig& config, const BenchOptions& options) {
  require_memory(config, options.memory);
  BenchResult result;
  result.threads = options.threads;
  result.tokens_per_step = config.train.tokens_per_step();
  result.planned_bytes = spec::training_bytes(config.model, config.train).total();
  reset_high_water_mark();
  const int64_t held = status_bytes("VmRSS");
  {
    const corpus::RowBatches batches(
        random_rows(config.model.vocab_size),
        {config.train.micro_batch, config.train.global_batch, config.train.sequence_length});
    Trainer trainer(config, batches, {}, {options.parallel_for});
    for (int i = 0; i < options.warm_up; ++i) trainer.step();
    base::PartClock clock;
    for (int i = 0; i < options.steps; ++i) {
      const auto start = Clock::now();
      trainer.step();
      result.step_seconds.push_back(seconds_since(start));
    }
    for (const auto& [part, seconds] : clock.seconds()) result.part_seconds[part] = seconds / options.steps;
  }
  result.peak_bytes = status_bytes("VmHWM") - held;
  std::vector<double> sorted = result.step_seconds;
  std::sort(sorted.begin(), sorted.end());
  result.tokens_per_s = static_cast<double>(result.tokens_per_step) / sorted[sorted.size() / 2];
  result.flops_per_s = result.tokens_per_s * bench_flops_per_token(config.model, config.train.sequence_length);
  result.gemm_flops_per_s = gemm_flops_per_s();
  return result;
}

base::Json to_json(const BenchResult& result) {
  return {
      {"tokens_per_s", result.tokens_per_s},         {"flops_per_s", result.flops_per_s},
      {"gemm_flops_per_s", result.gemm_flops_per_s}, {"share_of_gemm", result.flops_per_s / result.gemm_flops_per_s},
      {"tokens_per_step", result.tokens_per_step},   {"step_seconds", result.step_seconds},
      {"part_seconds", result.part_seconds},         {"peak_bytes", result.peak_bytes},
      {"planned_bytes", result.planned_bytes},       {"threads", result.threads}};
}

}  // namespace dsmoe::train
