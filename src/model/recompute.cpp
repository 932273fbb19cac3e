#include "model/recompute.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace dsmoe::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Carries the function through the context, whose own dictionary knows only LibTorch's types.
struct Holder : torch::CustomClassHolder {
  explicit Holder(RecomputedFunction run) : run(std::move(run)) {}
  RecomputedFunction run;
};

struct Recompute : torch::autograd::Function<Recompute> {
  static variable_list forward(AutogradContext* context, const Tensor& x, const c10::intrusive_ptr<Holder>& holder) {
    context->save_for_backward({x});
    context->saved_data["run"] = c10::IValue::make_capsule(holder);
    return holder->run(x);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const torch::AutoGradMode with_graph(true);
    const Tensor x = context->get_saved_variables()[0].detach().requires_grad_();
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["run"].toCapsule());
    variable_list outputs, output_gradients;
    const variable_list all = holder->run(x);
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i].requires_grad()) continue;
      outputs.push_back(all[i]);
      output_gradients.push_back(gradients[i]);
    }
    torch::autograd::backward(outputs, output_gradients);
    return {x.grad(), Tensor()};
  }
};

}  // namespace

std::vector<Tensor> recomputed(const Tensor& x, RecomputedFunction run) {
  return Recompute::apply(x, c10::make_intrusive<Holder>(std::move(run)));
}

}  // namespace dsmoe::model
