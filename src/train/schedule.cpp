#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace dsmoe::train {
namespace {

double multistep(const spec::TrainConfig& train, int64_t step) {
  double factor = 1;
  for (const double point : train.decay_points) {
    if (static_cast<double>(step) >= point * static_cast<double>(train.steps)) factor *= train.decay_factor;
  }
  return factor;
}

double cosine(const spec::TrainConfig& train, int64_t step) {
  constexpr double kPi = 3.14159265358979323846;
  const auto length = static_cast<double>(std::max<int64_t>(1, train.steps - train.warmup_steps));
  const double part = std::clamp(static_cast<double>(step - train.warmup_steps) / length, 0.0, 1.0);
  const double least = train.min_learning_rate_ratio;
  return least + (1 - least) * 0.5 * (1 + std::cos(kPi * part));
}

}  // namespace

double learning_rate(const spec::TrainConfig& train, int64_t step) {
  if (step < train.warmup_steps) {
    return train.learning_rate * static_cast<double>(step + 1) / static_cast<double>(train.warmup_steps);
  }
  switch (train.schedule) {
    case spec::Schedule::kMultistep:
      return train.learning_rate * multistep(train, step);
    case spec::Schedule::kCosine:
      return train.learning_rate * cosine(train, step);
    case spec::Schedule::kConstant:
      break;
  }
  return train.learning_rate;
}

double clip_scale(double norm, double clip_norm) { return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1.0; }

}  // namespace dsmoe::train
