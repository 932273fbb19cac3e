// RMSNorm as the released model computes it: in float32, cast back, then times the weight.
#pragma once

#include <torch/types.h>

namespace dsmoe::model {

using torch::Tensor;

/// x [..., D], weight [D] of the same type. Differentiable in both.
Tensor rms_norm(const Tensor& x, const Tensor& weight_D, double eps);
/// The same with x handed through: a block adds its branch to `x`, so that backward the gradients of x and of its norm
/// are added where the norm's is made, rounded once.
struct NormedBranch {
  Tensor x, normed;
};
NormedBranch rms_norm_branch(const Tensor& x, const Tensor& weight_D, double eps);
/// The same as one expression of LibTorch: the definition.
Tensor rms_norm_reference(const Tensor& x, const Tensor& weight_D, double eps);

}  // namespace dsmoe::model
