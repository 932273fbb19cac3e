// A small plan and made-up results, for tests.
#pragma once

#include <string>
#include <vector>

#include "compare/result.h"
#include "compare/run_studies.h"
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

/// Two arms, studied, with a claim on what they lose and one on a model beside itself.
inline const std::string kStudiedArms = "studies = [\"disable\", \"shared\"]\n" + std::string(kTwoArms) + R"(
[[claims]]
text = "DeepSeekMoE's experts are less redundant than GShard's"
arm = "gshard"
figure = { masked_top_fraction = 0.0625, rise = true }
against = "deepseekmoe"
against_figure = { masked_top_fraction = 0.0625, rise = true }
[[claims]]
text = "One more routed expert does not replace the shared one"
arm = "deepseekmoe"
against = "deepseekmoe"
against_figure = { drop_shared = true, experts_per_tok = 8 }
)";

/// What a model of this run would lose: `rise` nats a token for each sixteenth masked, and as much without the shared
/// expert.
inline RunStudies made_up_studies(const Run& run, double rise) {
  RunStudies studies{run.arm->name, run.seed, {}, {}};
  for (const auto kind : {study::AblationKind::kDisable, study::AblationKind::kShared}) {
    if (!study::can_study(kind, run.config.config.model)) continue;
    studies.ablations.push_back(study::default_study(kind, run.config.config.model));
    study::score_points(studies.ablations.back(), [&](const engine::Intervention& change) {
      study::AblationScore score;
      // The study's text is harder than the validation split, so that whoever mixes the two is found out.
      score.total = {1000 * (4.9 + 0.001 * static_cast<double>(run.seed)), 1000, 4000};
      score.total.nats += 1000 * rise * (16 * change.masked_top_fraction + (change.drop_shared ? 1 : 0));
      return score;
    });
  }
  studies.tasks.push_back({"exams", "acc_norm", "hash", 400, 0, 0.26, 0.022, 0.25, true});
  return studies;
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
