// How fast a configuration trains on this machine, beside what the machine can do and what the plan says it takes.
//
// Steps of the real trainer on random tokens: the same work as a run, without its data, records and checkpoints.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/parallel.h"
#include "spec/run_config.h"

namespace dsmoe::train {

struct BenchOptions {
  int steps = 5;        ///< measured
  int warm_up = 2;      ///< before them
  int threads = 1;      ///< for the record
  uint64_t memory = 0;  ///< as RunOptions::memory
  base::ParallelFor parallel_for = base::serial_for;
};

struct BenchResult {
  std::vector<double> step_seconds;
  int64_t tokens_per_step = 0;
  double tokens_per_s = 0;      ///< of the median step
  double flops_per_s = 0;       ///< see bench_flops_per_token
  double gemm_flops_per_s = 0;  ///< oneDNN's own bf16 product of 2048 x 2048 x 2048, best of 5, in this process
  std::map<std::string, double> part_seconds;  ///< a step's, on average
  int64_t peak_bytes = 0;                      ///< the process's high-water mark less what it held at the start
  int64_t planned_bytes = 0;                   ///< spec::training_bytes of the same configuration
  int threads = 1;
};

/// 6 * activated matrix parameters (head in, embedding out) + 6 L D S: training, attention's causal half counted.
double bench_flops_per_token(const spec::ModelConfig& config, int64_t sequence_length);

BenchResult run_bench(const spec::RunConfig& config, const BenchOptions& options);
base::Json to_json(const BenchResult& result);

}  // namespace dsmoe::train
