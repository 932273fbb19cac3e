// The learning rate as a pure function of the step: a linear warm-up, then the paper's two steps down, half a cosine,
// or nothing.
#pragma once

#include <cstdint>

#include "spec/train_config.h"

namespace dsmoe::train {

/// The rate of update `step`, counting from 0. The warm-up reaches learning_rate with update warmup_steps - 1. Decay
/// points and the cosine's end are parts of train.steps, warm-up included.
double learning_rate(const spec::TrainConfig& train, int64_t step);

/// What multiplies the gradients so that their norm is at most clip_norm; 1 when clip_norm is 0 (no clipping).
double clip_scale(double norm, double clip_norm);

}  // namespace dsmoe::train
