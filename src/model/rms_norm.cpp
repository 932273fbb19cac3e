#include "model/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/part_clock.h"
#include "kernels/train_norm.h"
#include "moe/composed.h"
#include "moe/parallel.h"
#include "moe/rows.h"
#include "moe/weight.h"

namespace dsmoe::model {
namespace {

using moe::wide;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

kernels::TrainNorm arguments(const Tensor& x_TD, const Tensor& weight_D, const Tensor& inverse_T, double eps) {
  return {moe::number_of(x_TD.scalar_type()),
          inverse_T.size(0),
          weight_D.size(0),
          eps,
          x_TD.data_ptr(),
          weight_D.data_ptr(),
          inverse_T.data_ptr<float>()};
}

/// x itself and its norm: whoever adds a branch to x takes the first, and the gradients of both meet here.
struct NormBranch : torch::autograd::Function<NormBranch> {
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& weight_D, double eps) {
    const base::Part part("norms");
    const Tensor y = torch::empty_like(x);
    const Tensor inverse_T = torch::empty({x.numel() / weight_D.size(0)}, x.options().dtype(torch::kFloat32));
    kernels::train_norm(moe::torch_parallel_for(), arguments(x, weight_D, inverse_T, eps), y.data_ptr());
    context->save_for_backward({x, weight_D, inverse_T});
    context->saved_data["eps"] = eps;
    context->set_materialize_grads(false);
    return {x, y};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("norms");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight_D = saved[1];
    if (!gradients[1].defined()) return {gradients[0], Tensor(), Tensor()};
    const Tensor grad_y = gradients[1].contiguous();
    const Tensor add = gradients[0].defined() ? gradients[0].contiguous() : Tensor();
    const Tensor grad_x = torch::empty_like(x), grad_weight_D = torch::empty({weight_D.size(0)}, saved[2].options());
    kernels::train_norm_backward(moe::torch_parallel_for(),
                                 arguments(x, weight_D, saved[2], context->saved_data["eps"].toDouble()),
                                 {grad_y.data_ptr(), add.defined() ? add.data_ptr() : nullptr, grad_x.data_ptr(),
                                  grad_weight_D.data_ptr<float>()});
    return {grad_x, grad_weight_D, Tensor()};
  }
};

}  // namespace

NormedBranch rms_norm_branch(const Tensor& x, const Tensor& weight_D, double eps) {
  if (moe::composed(x)) return {x, rms_norm_reference(x, weight_D, eps)};
  const auto outputs = NormBranch::apply(x.contiguous(), weight_D.contiguous(), eps);
  return {outputs[0], outputs[1]};
}

Tensor rms_norm(const Tensor& x, const Tensor& weight_D, double eps) {
  return rms_norm_branch(x, weight_D, eps).normed;
}

Tensor rms_norm_reference(const Tensor& x, const Tensor& weight_D, double eps) {
  const Tensor wide_x = x.to(wide(x.scalar_type()));
  const Tensor normed = wide_x * torch::rsqrt(wide_x.square().mean(-1, /*keepdim=*/true) + eps);
  return normed.to(x.scalar_type()) * weight_D;
}

}  // namespace dsmoe::model
