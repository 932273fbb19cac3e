#include "moe/linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/part_clock.h"
#include "moe/composed.h"
#include "moe/parallel.h"

namespace dsmoe::moe {
namespace {

using kernels::Along;
using kernels::PanelProduct;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// `graph` is the weight's place in autograd's graph; its values come packed from `kept`.
struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x_TK, const OptionalTensor& graph,
                        const OptionalTensor& add_TN, const c10::intrusive_ptr<KeptWeights>& kept) {
    const base::Part part("linear layers");
    const Weight& weight = *kept->weights[0];
    const int64_t rows = x_TK.size(0), k = x_TK.size(1), n = weight.sizes()[0];
    const auto type = x_TK.scalar_type();
    const PackedWeight packed = weight.packed(type, WeightRows::kOutputs);
    const Tensor y_TN = torch::empty({rows, n}, x_TK.options());
    const PanelProduct product{.m = rows,
                               .n = n,
                               .k = k,
                               .left = {x_TK.data_ptr(), k},
                               .right = packed.forward_of(0),
                               .out = y_TN.data_ptr(),
                               .out_stride = n,
                               .out_type = number_of(type),
                               .add = add_TN ? add_TN->data_ptr() : nullptr};
    kernels::panel_products(torch_parallel_for(), number_of(type), {&product, 1});
    context->save_for_backward({x_TK});
    context->saved_data["weight"] = c10::IValue::make_capsule(kept);
    context->saved_data["wanted"] = graph && graph->requires_grad();
    context->saved_data["added"] = add_TN.has_value();
    return y_TN;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("linear layers");
    const Tensor x_TK = context->get_saved_variables()[0], grad_TN = gradients[0].contiguous();
    const auto kept = c10::static_intrusive_pointer_cast<KeptWeights>(context->saved_data["weight"].toCapsule());
    const Weight& weight = *kept->weights[0];
    const auto type = x_TK.scalar_type();
    const int64_t rows = x_TK.size(0), k = x_TK.size(1), n = grad_TN.size(1);
    const PackedWeight packed = weight.packed(type, WeightRows::kOutputs);
    const Tensor grad_x_TK = torch::empty_like(x_TK);
    std::vector<PanelProduct> products{{.m = rows,
                                        .n = k,
                                        .k = n,
                                        .left = {grad_TN.data_ptr(), n},
                                        .right = packed.backward_of(0),
                                        .out = grad_x_TK.data_ptr(),
                                        .out_stride = k,
                                        .out_type = number_of(type)}};
    const WeightGradient gradient(weight, context->saved_data["wanted"].toBool());
    if (gradient.wanted()) {
      products.push_back({.m = n,
                          .n = k,
                          .k = rows,
                          .left = {grad_TN.data_ptr(), n},
                          .left_along = Along::kDepth,
                          .right_rows = {x_TK.data_ptr(), k},
                          .epilogue = gradient.epilogue(),
                          .out = gradient.of(0),
                          .out_stride = k});
    }
    kernels::panel_products(torch_parallel_for(), number_of(type), products);
    return {grad_x_TK, gradient.returned(), context->saved_data["added"].toBool() ? grad_TN : Tensor(), Tensor()};
  }
};

}  // namespace

WeightGradient::WeightGradient(const Weight& weight, bool wanted) : wanted_(wanted) {
  if (!wanted) return;
  sink_ = weight.gradient_sink();
  if (!sink_.defined()) own_ = torch::empty(weight.sizes(), torch::dtype(torch::kFloat));
}

float* WeightGradient::of(int64_t e) const {
  const Tensor& memory = sink_.defined() ? sink_ : own_;
  return memory.data_ptr<float>() + e * memory.size(-2) * memory.size(-1);
}

Tensor linear(const Tensor& x_TK, const WeightPtr& weight, const Tensor& add_TN) {
  if (composed(x_TK)) return linear_reference(x_TK, weight, add_TN);
  return Linear::apply(x_TK.contiguous(), optional_of(weight->graph()),
                       optional_of(add_TN.defined() ? add_TN.contiguous() : add_TN),
                       c10::make_intrusive<KeptWeights>(std::vector{weight}));
}

Tensor linear_reference(const Tensor& x_TK, const WeightPtr& weight, const Tensor& add_TN) {
  const Tensor y_TN = torch::linear(x_TK, weight->get(x_TK.scalar_type()));
  return add_TN.defined() ? y_TN + add_TN : y_TN;
}

}  // namespace dsmoe::moe
