#include "model/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "moe/rows.h"

namespace dsmoe::model {
namespace {

using moe::for_row_pieces;
using moe::rows_per_piece;
using moe::wide;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x_in, const Tensor& weight_D, double eps) {
    const Tensor x_TD = x_in.contiguous().view({-1, x_in.size(-1)});
    const auto type = wide(x_TD.scalar_type());
    Tensor y_TD = torch::empty_like(x_TD), inverse_T1 = torch::empty({x_TD.size(0), 1}, x_TD.options().dtype(type));
    for_row_pieces(x_TD, x_TD.size(0), rows_per_piece(x_TD.size(1)), [&](int64_t, int64_t begin, int64_t end) {
      const Tensor x = x_TD.narrow(0, begin, end - begin).to(type);
      const Tensor inverse = x.square().mean(1, /*keepdim=*/true).add_(eps).rsqrt_();
      inverse_T1.narrow(0, begin, end - begin).copy_(inverse);
      y_TD.narrow(0, begin, end - begin).copy_((x * inverse).to(x_TD.scalar_type()).mul_(weight_D));
    });
    context->save_for_backward({x_TD, weight_D, inverse_T1});
    return y_TD.view(x_in.sizes());
  }

  // With n = x r and r = (mean x^2 + eps)^-1/2: dx = r (dn - n mean(dn n)), dw = sum_t dy n.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x_TD = saved[0], &weight_D = saved[1], &inverse_T1 = saved[2];
    const Tensor grad_TD = gradients[0].contiguous().view(x_TD.sizes());
    const auto type = wide(x_TD.scalar_type());
    const int64_t per_piece = rows_per_piece(x_TD.size(1)), pieces = (x_TD.size(0) + per_piece - 1) / per_piece;
    Tensor grad_x_TD = torch::empty_like(x_TD);
    const Tensor grad_weight = torch::zeros({std::max<int64_t>(pieces, 1), x_TD.size(1)}, inverse_T1.options());
    const Tensor wide_weight = weight_D.to(type);
    for_row_pieces(x_TD, x_TD.size(0), per_piece, [&](int64_t piece, int64_t begin, int64_t end) {
      const Tensor inverse = inverse_T1.narrow(0, begin, end - begin);
      const Tensor normed = x_TD.narrow(0, begin, end - begin).to(type) * inverse;
      const Tensor grad = grad_TD.narrow(0, begin, end - begin).to(type);
      grad_weight.select(0, piece).copy_((grad * normed).sum(0));
      const Tensor grad_normed = grad * wide_weight;
      const Tensor mean = (grad_normed * normed).mean(1, /*keepdim=*/true);
      grad_x_TD.narrow(0, begin, end - begin).copy_((grad_normed - normed * mean).mul_(inverse));
    });
    return {grad_x_TD.view(gradients[0].sizes()), grad_weight.sum(0).to(weight_D.scalar_type()), Tensor()};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight_D, double eps) { return RmsNorm::apply(x, weight_D, eps); }

Tensor rms_norm_reference(const Tensor& x, const Tensor& weight_D, double eps) {
  const Tensor wide_x = x.to(wide(x.scalar_type()));
  const Tensor normed = wide_x * torch::rsqrt(wide_x.square().mean(-1, /*keepdim=*/true) + eps);
  return normed.to(x.scalar_type()) * weight_D;
}

}  // namespace dsmoe::model
