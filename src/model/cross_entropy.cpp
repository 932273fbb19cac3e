#include "model/cross_entropy.h"

#include <torch/csrc/autograd/custom_function.h>

#include <numeric>

#include "base/part_clock.h"
#include "kernels/train_loss.h"
#include "moe/composed.h"
#include "moe/linear.h"
#include "moe/parallel.h"
#include "moe/rows.h"

namespace dsmoe::model {
namespace {

using moe::wide;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Which gradients to make: none, those of x, or of x and the head.
enum class Gradients { kNone, kHidden, kAll };

/// What a walk over the tokens brings.
struct Walk {
  Tensor losses_T, grad_x_TD, grad_head_VD;
  /// In order, in double.
  double total() const {
    const auto* losses = losses_T.data_ptr<float>();
    return std::accumulate(losses, losses + losses_T.numel(), 0.0);
  }
};

Walk walk(const Tensor& x_TD, const moe::Weight& head, const Tensor& targets, double scale, Gradients gradients) {
  const Tensor targets_T = targets.contiguous();
  const auto wide_options = x_TD.options().dtype(torch::kFloat32);
  const auto packed = [&head, type = x_TD.scalar_type()](moe::Layout layout) {
    return [&head, type, layout](const std::function<void(const kernels::HeadPart&)>& work) {
      constexpr int64_t kHead[] = {0};
      head.each_packed(type, moe::WeightRows::kOutputs, layout, kHead, [&](const moe::PackedPlaces& part) {
        work({part.first_column(), part.columns(), part.of(0)});
      });
    };
  };
  kernels::HeadLoss h;
  h.type = moe::number_of(x_TD.scalar_type());
  h.tokens = x_TD.size(0), h.width = x_TD.size(1), h.vocabulary = head.sizes()[0];
  h.x = x_TD.data_ptr(), h.targets = targets_T.data_ptr<int64_t>();
  const Tensor logits = torch::empty({kernels::head_loss_rows(h.tokens), h.vocabulary}, x_TD.options());
  h.head_forward = packed(moe::Layout::kForward);
  h.head_backward = packed(moe::Layout::kBackward);
  h.logits = logits.data_ptr();
  h.scale = static_cast<float>(scale);
  Walk result{torch::empty({h.tokens}, wide_options), {}, {}};
  h.losses = result.losses_T.data_ptr<float>();
  if (gradients != Gradients::kNone) {
    result.grad_x_TD = torch::empty_like(x_TD);
    h.grad_x = result.grad_x_TD.data_ptr();
  }
  if (gradients == Gradients::kAll) {
    result.grad_head_VD = torch::empty({h.vocabulary, h.width}, wide_options);
    h.grad_head = result.grad_head_VD.data_ptr<float>();
  }
  kernels::head_loss(moe::torch_parallel_for(), h);
  return result;
}

/// `graph` is the head's place in autograd's graph; its values come packed from `kept`.
struct HeadCrossEntropy : torch::autograd::Function<HeadCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x_TD, const moe::OptionalTensor& graph,
                        const Tensor& targets_T, double scale, const c10::intrusive_ptr<moe::KeptWeights>& kept) {
    const base::Part part("head and cross entropy");
    const Gradients wanted = graph && graph->requires_grad() ? Gradients::kAll
                             : x_TD.requires_grad()          ? Gradients::kHidden
                                                             : Gradients::kNone;
    const Walk result = walk(x_TD, *kept->weights[0], targets_T, scale, wanted);
    context->save_for_backward({result.grad_x_TD, result.grad_head_VD});
    context->saved_data["weight"] = c10::IValue::make_capsule(kept);
    return torch::full({}, result.total() * scale, result.losses_T.options());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("head and cross entropy");
    const auto saved = context->get_saved_variables();
    const auto kept = c10::static_intrusive_pointer_cast<moe::KeptWeights>(context->saved_data["weight"].toCapsule());
    const auto times = gradients[0].item<double>();  // 1 where this is the loss that backward() was called on
    const auto scaled = [&](const Tensor& t) { return times == 1 ? t : t * times; };
    Tensor grad_head;
    if (saved[1].defined()) {
      const Tensor sink = kept->weights[0]->gradient_sink();
      if (sink.defined()) {
        sink.add_(saved[1], times);
      } else {
        grad_head = scaled(saved[1]);
      }
    }
    return {scaled(saved[0]), grad_head, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor head_cross_entropy(const Tensor& x_TD, const moe::WeightPtr& head, const Tensor& targets_T, double scale) {
  if (moe::composed(x_TD)) return head_cross_entropy_reference(x_TD, head, targets_T, scale);
  if (!torch::GradMode::is_enabled()) {
    const Walk result = walk(x_TD.contiguous(), *head, targets_T, scale, Gradients::kNone);
    return torch::full({}, result.total() * scale, result.losses_T.options());
  }
  return HeadCrossEntropy::apply(x_TD.contiguous(), moe::optional_of(head->graph()), targets_T, scale,
                                 c10::make_intrusive<moe::KeptWeights>(std::vector{head}));
}

Tensor head_cross_entropy_reference(const Tensor& x_TD, const moe::WeightPtr& head, const Tensor& targets_T,
                                    double scale) {
  const Tensor logits = x_TD.matmul(head->get(x_TD.scalar_type()).t()).to(wide(x_TD.scalar_type()));
  return torch::nll_loss(torch::log_softmax(logits, -1), targets_T, {}, torch::Reduction::Sum, kIgnore) * scale;
}

Tensor token_losses(const Tensor& x_TD, const moe::WeightPtr& head, const Tensor& targets_T) {
  const torch::NoGradGuard no_grad;
  if (!moe::composed(x_TD)) return walk(x_TD.contiguous(), *head, targets_T, 1, Gradients::kNone).losses_T;
  const Tensor logits = x_TD.matmul(head->get(x_TD.scalar_type()).t()).to(wide(x_TD.scalar_type()));
  return torch::nll_loss(torch::log_softmax(logits, -1), targets_T, {}, torch::Reduction::None, kIgnore);
}

}  // namespace dsmoe::model
