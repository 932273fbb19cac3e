// SwiGLU: silu(gate) * up, the elementwise middle of every FFN and expert (as released).
#pragma once

#include <torch/types.h>

namespace dsmoe::moe {

using torch::Tensor;

/// h [..., 2F] with gate in the first half of the last dimension and up in the second; returns [..., F].
/// Differentiable.
Tensor swiglu(const Tensor& h);
/// The same as one expression of LibTorch: the definition.
Tensor swiglu_reference(const Tensor& h);

/// Without graph, for functions that hold h themselves: out [N, F] from h [N, 2F], both contiguous.
void swiglu_forward(const Tensor& h, Tensor& out);

/// What the backward pass of weight * swiglu(h) yields, row by row; contiguous, allocated by the caller.
struct SwigluGradients {
  Tensor grad_h;         ///< [N, 2F]
  Tensor weighted_out;   ///< [N, F], weight * swiglu(h) once more; undefined: not wanted
  Tensor grad_weight_N;  ///< [N] in wide type; undefined: not wanted
};
/// `weight_N` in wide type; undefined: ones.
void swiglu_backward(const Tensor& h, const Tensor& grad_out, const Tensor& weight_N, SwigluGradients& result);

}  // namespace dsmoe::moe
