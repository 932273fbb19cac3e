#include "model/cross_entropy.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "moe/rows.h"

namespace dsmoe::model {
namespace {

using moe::for_row_pieces;
using moe::rows_per_piece;
using moe::wide;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows whose logits are alive together: with a vocabulary of 8192 in bfloat16, 16 MB.
constexpr int64_t kChunk = 1024;

/// losses [n] from logits [n, V]; with a scale, logits become the gradient of scale * sum(losses).
void row_losses(Tensor& logits, const Tensor& targets, std::optional<double> scale, const Tensor& losses) {
  const auto type = wide(logits.scalar_type());
  for_row_pieces(logits, logits.size(0), rows_per_piece(logits.size(1)), [&](int64_t, int64_t begin, int64_t end) {
    Tensor values = logits.narrow(0, begin, end - begin).to(type, /*non_blocking=*/false, /*copy=*/true);
    const Tensor target = targets.narrow(0, begin, end - begin).unsqueeze(1);
    const Tensor counts = target.ne(kIgnore).to(type), index = target.clamp_min(0);
    const Tensor log_sum = values.logsumexp(1, /*keepdim=*/true);
    losses.narrow(0, begin, end - begin).copy_(((log_sum - values.gather(1, index)) * counts).squeeze(1));
    if (!scale) return;
    values.sub_(log_sum).exp_();
    values.scatter_add_(1, index, torch::full_like(log_sum, -1.0));
    logits.narrow(0, begin, end - begin).copy_(values.mul_(counts * *scale));
  });
}

/// What a walk over the rows brings; gradients only where a scale is given.
struct Walk {
  Tensor losses_T, grad_x_TD, grad_head_VD;
};

Walk walk(const Tensor& x_TD, const Tensor& head_VD, const Tensor& targets_T, std::optional<double> scale) {
  const auto type = wide(x_TD.scalar_type());
  Walk result{torch::zeros({x_TD.size(0)}, x_TD.options().dtype(type)), {}, {}};
  if (scale) {
    result.grad_x_TD = torch::empty_like(x_TD);
    result.grad_head_VD = torch::zeros(head_VD.sizes(), head_VD.options().dtype(type));
  }
  for (int64_t begin = 0; begin < x_TD.size(0); begin += kChunk) {
    const int64_t rows = std::min(kChunk, x_TD.size(0) - begin);
    const Tensor x = x_TD.narrow(0, begin, rows);
    Tensor logits = torch::mm(x, head_VD.t());
    row_losses(logits, targets_T.narrow(0, begin, rows), scale, result.losses_T.narrow(0, begin, rows));
    if (!scale) continue;
    result.grad_x_TD.narrow(0, begin, rows).copy_(torch::mm(logits, head_VD));
    result.grad_head_VD.add_(torch::mm(logits.t(), x));
  }
  return result;
}

struct HeadCrossEntropy : torch::autograd::Function<HeadCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x_TD, const Tensor& head_VD, const Tensor& targets_T,
                        double scale, bool gradients) {
    const Walk result = walk(x_TD, head_VD, targets_T, gradients ? std::optional(scale) : std::nullopt);
    if (gradients) context->save_for_backward({result.grad_x_TD, result.grad_head_VD.to(head_VD.scalar_type())});
    return result.losses_T.sum() * scale;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto times = [&](const Tensor& t) { return t * gradients[0].to(t.scalar_type()); };
    return {times(saved[0]), times(saved[1]), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor head_cross_entropy(const Tensor& x_TD, const Tensor& head_VD, const Tensor& targets_T, double scale) {
  const bool gradients = torch::GradMode::is_enabled() && (x_TD.requires_grad() || head_VD.requires_grad());
  return HeadCrossEntropy::apply(x_TD.contiguous(), head_VD, targets_T, scale, gradients);
}

Tensor head_cross_entropy_reference(const Tensor& x_TD, const Tensor& head_VD, const Tensor& targets_T, double scale) {
  const Tensor logits = x_TD.matmul(head_VD.t()).to(wide(x_TD.scalar_type()));
  return torch::nll_loss(torch::log_softmax(logits, -1), targets_T, {}, torch::Reduction::Sum, kIgnore) * scale;
}

Tensor token_losses(const Tensor& x_TD, const Tensor& head_VD, const Tensor& targets_T) {
  const torch::NoGradGuard no_grad;
  return walk(x_TD, head_VD, targets_T, std::nullopt).losses_T;
}

}  // namespace dsmoe::model
