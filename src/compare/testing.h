// A small plan and made-up results, for tests.
#pragma once

#include <string>
#include <vector>

#include "compare/result.h"
#include "compare/statistics.h"

namespace dsmoe::compare {

inline constexpr const char* kTwoArms = R"(
title = "Two arms"
tokens = 1_000_000
warmup = 0.05
seeds = [1, 2, 3]
smallest_effect = 0.005
tolerance = 0.03
[set]
train.global_batch = 8
[[arms]]
name = "gshard"
preset = "nano-gshard"
[[arms]]
name = "deepseekmoe"
preset = "nano-deepseekmoe"
)";

inline const std::string kTwoArmsAndAClaim = std::string(kTwoArms) + R"(
[[claims]]
text = "DeepSeekMoE beats GShard"
arm = "deepseekmoe"
against = "gshard"
)";

/// Losses of two arms: the second is better by `advantage`; the seeds scatter both alike, and each by `scatter`.
inline std::vector<Observation> made_up_losses(const Plan& plan, double advantage, double scatter) {
  std::vector<Observation> all;
  for (size_t s = 0; s < plan.seeds.size(); ++s) {
    const double sign = s == 0 ? 1 : -0.5;
    all.push_back({0, s, 4.0 + 0.1 * static_cast<double>(s) + sign * scatter});
    all.push_back({1, s, 4.0 + 0.1 * static_cast<double>(s) - sign * scatter - advantage});
  }
  return all;
}

inline RunResult made_up_result(const Run& run, double nats) {
  RunResult r;
  r.arm = run.arm->name;
  r.seed = run.seed;
  r.preset = run.arm->preset;
  r.settings = run.settings;
  r.config = config_of(run.config.config);
  r.build = {"0.1.0", "scalar"};
  r.data_hash = "data";
  r.threads = 2;
  r.steps = run.config.config.train.steps;
  r.tokens = r.steps * run.config.config.train.tokens_per_step();
  r.seconds = 60;
  for (int i = 1; i <= 200; ++i) {
    r.curve_tokens.push_back(4096.0 * i);
    r.curve_loss.push_back(nats + 1.0 / i);
  }
  r.validation_tokens = {500'000, 1'000'000};
  r.validation_nats = {nats + 0.1, nats};
  r.score = {nats + 0.001 * static_cast<double>(run.seed), nats / 3, 1000, 4000};
  r.domains["en"] = r.score;
  return r;
}

}  // namespace dsmoe::compare
