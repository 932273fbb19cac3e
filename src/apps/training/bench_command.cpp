// dsmoe-train bench: how fast a configuration trains here, and where the time goes.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "apps/familiar_options.h"
#include "apps/training/threads.h"
#include "apps/training/training_commands.h"
#include "apps/whole_number.h"
#include "base/json.h"
#include "moe/parallel.h"
#include "spec/settings.h"
#include "train/bench.h"

namespace dsmoe::apps {
namespace {

struct BenchArguments {
  std::string config;
  std::vector<std::string> overrides;
  int threads = 0, steps = 5, warm_up = 2;
  bool json = false, no_memory_check = false;
};

void print_table(const train::BenchResult& r) {
  std::printf("%-14s %10.0f tokens/s, %.4g s a step of %lld tokens, %d threads\n", "speed", r.tokens_per_s,
              static_cast<double>(r.tokens_per_step) / r.tokens_per_s, static_cast<long long>(r.tokens_per_step),
              r.threads);
  std::printf("%-14s %10.1f GFLOP/s, %.1f %% of the %.1f that oneDNN's bf16 product of 2048 reaches\n", "",
              r.flops_per_s / 1e9, 100 * r.flops_per_s / r.gemm_flops_per_s, r.gemm_flops_per_s / 1e9);
  std::printf("%-14s %10.1f MB, planned %.1f MB (%+.1f %%)\n\n", "peak memory", static_cast<double>(r.peak_bytes) / 1e6,
              static_cast<double>(r.planned_bytes) / 1e6,
              100 * (static_cast<double>(r.peak_bytes) / static_cast<double>(r.planned_bytes) - 1));
  std::vector<std::pair<double, std::string>> parts;
  double all = 0;
  for (const auto& [part, seconds] : r.part_seconds) {
    parts.emplace_back(seconds, part);
    all += seconds;
  }
  std::sort(parts.rbegin(), parts.rend());
  for (const auto& [seconds, part] : parts) {
    std::printf("%-28s %8.1f ms  %5.1f %%\n", part.c_str(), 1e3 * seconds, 100 * seconds / all);
  }
}

void run(const BenchArguments& arguments) {
  spec::ResolvedConfig config = spec::resolve(arguments.config, arguments.overrides);
  train::BenchOptions options;
  options.steps = arguments.steps;
  options.warm_up = arguments.warm_up;
  options.threads = use_threads(arguments.threads);
  options.parallel_for = moe::torch_parallel_for();
  if (arguments.no_memory_check) options.memory = UINT64_MAX;
  const train::BenchResult result = train::run_bench(config.config, options);
  if (!arguments.json) return print_table(result);
  base::Json json = train::to_json(result);
  json["config"] = arguments.config;
  json["overrides"] = arguments.overrides;
  std::cout << base::dump_json(json) << "\n";
}

}  // namespace

void add_bench(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("bench", "Training speed on random tokens, beside oneDNN's bf16 product and the plan");
  const auto arguments = std::make_shared<BenchArguments>();
  command->add_option("CONFIG", arguments->config, "a preset, or a .toml or .json file")->required();
  command->add_option(kSettings, arguments->overrides, "section.key=value, later ones win");
  add_threads(*command, arguments->threads);
  add_whole_number(*command, "--steps", arguments->steps, "measured steps", {1, 1000});
  add_whole_number(*command, "--warm-up", arguments->warm_up, "steps before them", {0, 1000});
  command->add_flag("--no-memory-check", arguments->no_memory_check, "begin what will not fit into memory too");
  command->add_flag("--json", arguments->json, "one JSON object on standard output");
  command->footer(
      "tokens_per_s is that of the median step. flops_per_s counts 6 FLOPs for each activated matrix parameter (head\n"
      "in, embedding out) and 6 L D S of causal attention a token. peak_bytes is the process's high-water mark less\n"
      "what it held at the start, planned_bytes what `dsmoe plan` says of the same settings.");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace dsmoe::apps
