#include "apps/quickstart_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "apps/progress.h"
#include "base/error.h"
#include "spec/counts.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

// The smallest first. Each has a GShard rival of the same size, for comparisons.
constexpr std::array<const char*, 3> kPresets = {"nano-deepseekmoe", kMeasuredPreset, "mini-deepseekmoe"};
constexpr int64_t kFewestSteps = 200, kSmallestBatch = 4;

struct Candidate {
  std::string preset;
  spec::RunConfig config;
  double activated = 0, tokens_per_second = 0;
};

double flops_per_token(const spec::RunConfig& config) {
  const int64_t length = config.train.sequence_length;
  return spec::flops_per_sequence(config.model, length) / static_cast<double>(length);
}

spec::RunConfig config_of(const std::string& preset, int64_t vocab_size) {
  return spec::resolve(preset, {"model.vocab_size=" + std::to_string(vocab_size)}).config;
}

Candidate candidate(const std::string& preset, const TrainingNeeds& needs) {
  Candidate made{preset, config_of(preset, needs.vocab_size)};
  made.activated = static_cast<double>(spec::count_activated(made.config.model).total());
  const double measured = flops_per_token(config_of(kMeasuredPreset, needs.vocab_size));
  made.tokens_per_second = needs.tokens_per_second * measured / flops_per_token(made.config);
  return made;
}

double tokens_seen(const Candidate& model, const TrainingNeeds& needs) {
  return std::min(model.tokens_per_second * 60 * needs.minutes, static_cast<double>(needs.tokens * kMostPasses));
}

bool fits(const Candidate& model, uint64_t memory) {
  return static_cast<uint64_t>(spec::training_bytes(model.config.model, model.config.train).total()) <= memory;
}

Candidate choose(const TrainingNeeds& needs) {
  if (!needs.preset.empty()) return candidate(needs.preset, needs);
  Candidate chosen = candidate(kPresets.front(), needs);
  for (const char* preset : kPresets) {
    Candidate next = candidate(preset, needs);
    if (tokens_seen(next, needs) >= next.activated && fits(next, needs.memory)) chosen = std::move(next);
  }
  return chosen;
}

// As many sequences a step as the preset has, or fewer where that would leave few steps.
int64_t batch_for(const Candidate& model, double tokens) {
  int64_t batch = model.config.train.global_batch;
  const auto steps = [&] { return tokens / static_cast<double>(batch * model.config.train.sequence_length); };
  while (steps() < kFewestSteps && batch % 2 == 0 && batch / 2 >= kSmallestBatch) batch /= 2;
  return batch;
}

std::string decimals(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string about_model(const Candidate& model, const TrainingNeeds& needs, double tokens) {
  const auto all = static_cast<double>(spec::count_parameters(model.config.model).total());
  const std::string sizes = model.preset + ": " + count_text(all) + " parameters, " + count_text(model.activated) +
                            " of them at work for each token";
  if (!needs.preset.empty()) return sizes + "; the preset that was asked for.";
  if (tokens < model.activated) {
    return sizes + "; the smallest preset, and " + count_text(tokens) + " tokens of training are few even for it.";
  }
  return sizes + "; the largest preset here to which " + count_text(tokens) + " tokens of training teach something.";
}

std::string about_length(const TrainingNeeds& needs, double tokens, double seconds, bool text_bound) {
  const double read = tokens / static_cast<double>(needs.tokens);
  const std::string passes = decimals(read, 1);
  if (text_bound) {
    return "The text is read " + passes + " times, which takes about " + duration_text(seconds) +
           "; after that a model learns it by heart, so more text would help and more time would not.";
  }
  return "In " + duration_text(60 * needs.minutes) + " this machine reads about " + count_text(tokens) + " tokens, " +
         (read < 1 ? decimals(100 * read, 0) + " % of the text." : "the text " + passes + " times.");
}

}  // namespace

int32_t vocabulary_for(uint64_t text_bytes) {
  constexpr std::array<std::pair<uint64_t, int32_t>, 4> kSizes = {
      {{4'000'000, 8192}, {1'000'000, 4096}, {250'000, 2048}, {60'000, 1024}}};
  for (const auto& [bytes, tokens] : kSizes) {
    if (text_bytes >= bytes) return tokens;
  }
  return 512;
}

TrainingChoice choose_training(const TrainingNeeds& needs) {
  const Candidate model = choose(needs);
  const spec::TrainConfig& train = model.config.train;
  if (needs.tokens <= train.sequence_length) {
    base::fail_invalid(
        "quickstart", "there must be more text than one training sequence",
        std::to_string(needs.tokens) + " tokens, and a sequence has " + std::to_string(train.sequence_length),
        "add text: a megabyte is a good beginning");
  }
  const double tokens = tokens_seen(model, needs);
  const bool text_bound = tokens < model.tokens_per_second * 60 * needs.minutes;
  const int64_t batch = batch_for(model, tokens);
  const auto steps = std::max<int64_t>(1, std::llround(tokens / static_cast<double>(batch * train.sequence_length)));
  TrainingChoice choice{model.preset, {}, {}};
  const auto set = [&](const char* key, const std::string& value) {
    choice.settings.push_back("train." + std::string(key) + "=" + value);
  };
  if (text_bound) {
    set("minutes", "0");
    set("steps", std::to_string(steps));
  } else {
    set("minutes", decimals(needs.minutes, needs.minutes == std::floor(needs.minutes) ? 0 : 2));
  }
  if (batch != train.global_batch) {
    set("micro_batch", std::to_string(std::min(batch, train.micro_batch)));
    set("global_batch", std::to_string(batch));
  }
  if (train.warmup_steps > steps / 10) set("warmup_steps", std::to_string(std::max<int64_t>(1, steps / 10)));
  const int64_t look = std::max(std::min<int64_t>(steps, 10), steps / 8);
  for (const char* key : {"validate_every", "sample_every", "checkpoint_every"}) set(key, std::to_string(look));
  choice.reasons.push_back(about_model(model, needs, tokens));
  choice.reasons.push_back(about_length(needs, tokens, tokens / std::max(1.0, model.tokens_per_second), text_bound));
  choice.reasons.push_back("A step is " + std::to_string(batch) + " sequences of " +
                           std::to_string(train.sequence_length) + " tokens, so that there are about " +
                           std::to_string(steps) + " steps; a checkpoint, a validation and a sample come every " +
                           std::to_string(look) + ".");
  return choice;
}

}  // namespace dsmoe::apps
