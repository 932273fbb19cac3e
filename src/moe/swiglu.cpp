#include "moe/swiglu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "moe/rows.h"

namespace dsmoe::moe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor as_rows(const Tensor& x) { return x.contiguous().view({-1, x.size(-1)}); }

std::vector<int64_t> with_last(const Tensor& x, int64_t width) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = width;
  return sizes;
}

struct Swiglu : torch::autograd::Function<Swiglu> {
  static Tensor forward(AutogradContext* context, const Tensor& h) {
    context->save_for_backward({h});
    Tensor out = torch::empty(with_last(h, h.size(-1) / 2), h.options());
    Tensor rows = as_rows(out);
    swiglu_forward(as_rows(h), rows);
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor h = context->get_saved_variables()[0];
    Tensor grad_h = torch::empty(h.sizes(), h.options());
    SwigluGradients result{as_rows(grad_h), {}, {}};
    swiglu_backward(as_rows(h), as_rows(gradients[0]), {}, result);
    return {grad_h};
  }
};

}  // namespace

Tensor swiglu_reference(const Tensor& h) {
  const auto halves = h.chunk(2, -1);
  const auto type = wide(h.scalar_type());
  return (torch::silu(halves[0].to(type)) * halves[1].to(type)).to(h.scalar_type());
}

Tensor swiglu(const Tensor& h) { return Swiglu::apply(h); }

void swiglu_forward(const Tensor& h, Tensor& out) {
  const int64_t width = h.size(1) / 2;
  for_row_pieces(h, h.size(0), rows_per_piece(width), [&](int64_t, int64_t begin, int64_t end) {
    const Tensor wide_h = h.narrow(0, begin, end - begin).to(wide(h.scalar_type()));
    const Tensor gate = wide_h.narrow(1, 0, width), up = wide_h.narrow(1, width, width);
    out.narrow(0, begin, end - begin).copy_(torch::sigmoid(gate).mul_(gate).mul_(up));
  });
}

void swiglu_backward(const Tensor& h, const Tensor& grad_out, const Tensor& weight_N, SwigluGradients& result) {
  const int64_t width = h.size(1) / 2;
  const auto type = wide(h.scalar_type());
  for_row_pieces(h, h.size(0), rows_per_piece(width), [&](int64_t, int64_t begin, int64_t end) {
    const int64_t rows = end - begin;
    const Tensor wide_h = h.narrow(0, begin, rows).to(type);
    const Tensor gate = wide_h.narrow(1, 0, width), up = wide_h.narrow(1, width, width);
    const Tensor sigmoid = torch::sigmoid(gate);
    const Tensor silu = gate * sigmoid;
    Tensor grad = grad_out.narrow(0, begin, rows).to(type);
    if (result.weighted_out.defined() || result.grad_weight_N.defined()) {
      Tensor out = silu * up;
      if (result.grad_weight_N.defined()) result.grad_weight_N.narrow(0, begin, rows).copy_((grad * out).sum(1));
      if (weight_N.defined()) out.mul_(weight_N.narrow(0, begin, rows).unsqueeze(1));
      if (result.weighted_out.defined()) result.weighted_out.narrow(0, begin, rows).copy_(out);
    }
    if (weight_N.defined()) grad = grad * weight_N.narrow(0, begin, rows).unsqueeze(1);
    // silu'(g) = sigma + silu (1 - sigma) = sigma + silu - silu sigma
    const Tensor slope = (sigmoid + silu).addcmul_(silu, sigmoid, -1);
    const Tensor target = result.grad_h.narrow(0, begin, rows);
    target.narrow(1, 0, width).copy_(slope.mul_(grad).mul_(up));
    target.narrow(1, width, width).copy_(grad.mul(silu));
  });
}

}  // namespace dsmoe::moe
