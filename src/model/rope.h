// Rotary position embedding, half-split pairing: element i of a head turns with element i + A/2.
#pragma once

#include <torch/types.h>

namespace dsmoe::model {

using torch::Tensor;

/// Angles of positions 0 .. S-1, [S, A/2] each, computed in float64 and cast to the activation type.
struct RotaryTable {
  Tensor cos_SA, sin_SA;
};
RotaryTable rotary_table(int64_t positions, int64_t head_size, double theta, torch::ScalarType type);

/// x [B, S, H, A] turned by its position's angles: x cos + rotate_half(x) sin, the published expression.
/// Differentiable. On a CPU, kernels/train_attention.h turns heads while it takes them apart.
Tensor rotate(const Tensor& x_BSHA, const RotaryTable& table);

}  // namespace dsmoe::model
