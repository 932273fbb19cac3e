// Activation recomputation: keep a function's input, run it again when its gradient is asked for.
#pragma once

#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include <functional>
#include <vector>

namespace dsmoe::model {

using RecomputedFunction = std::function<std::vector<torch::Tensor>(const torch::Tensor&)>;

/// run(x), called now without graph and once more in the backward pass with it. Parameters that `run` reads get their
/// gradients; `run` must give the same values both times and outlives the graph together with what it refers to.
std::vector<torch::Tensor> recomputed(const torch::Tensor& x, RecomputedFunction run);

}  // namespace dsmoe::model
