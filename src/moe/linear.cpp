#include "moe/linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/part_clock.h"
#include "moe/adapter.h"
#include "moe/composed.h"
#include "moe/parallel.h"

namespace dsmoe::moe {
namespace {

using kernels::Along;
using kernels::PanelProduct;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// A weight, or a stack of them, and the rows that each meets.
struct LinearWork : torch::CustomClassHolder {
  LinearWork(WeightPtr weight, std::vector<RowGroup> groups) : weight(std::move(weight)), groups(std::move(groups)) {}
  WeightPtr weight;
  std::vector<RowGroup> groups;
  bool wanted = false;  ///< the weight's gradient

  int64_t outputs() const { return weight->sizes()[weight->sizes().size() - 2]; }
  /// Memory for what the groups' rows come to; zeros where there are rows outside of them.
  Tensor output(int64_t rows, int64_t width, const torch::TensorOptions& options) const {
    int64_t met = 0;
    for (const RowGroup& group : groups) met += group.count;
    return met == rows ? torch::empty({rows, width}, options) : torch::zeros({rows, width}, options);
  }
  void each_packed(torch::ScalarType type, Layout layout, const std::function<void(const PackedPlaces&)>& run) const {
    weight->each_packed(type, WeightRows::kOutputs, layout, places_met(groups), run);
  }
};

void* row_of(const Tensor& rows, int64_t row) {
  return static_cast<char*>(rows.data_ptr()) + row * rows.size(1) * rows.element_size();
}

void* number_at(const Tensor& rows, int64_t row, int64_t column) {
  return static_cast<char*>(row_of(rows, row)) + column * rows.element_size();
}

/// `graph` is the weight's place in autograd's graph; its values come packed from `work`.
struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext* context, const Tensor& x_TK, const OptionalTensor& graph,
                        const OptionalTensor& add_TN, const c10::intrusive_ptr<LinearWork>& work) {
    const base::Part part("linear layers");
    const int64_t k = x_TK.size(1), n = work->outputs();
    const auto type = x_TK.scalar_type();
    const Tensor y_TN = work->output(x_TK.size(0), n, x_TK.options());
    work->each_packed(type, Layout::kForward, [&](const PackedPlaces& packed) {
      std::vector<PanelProduct> products;
      for (const RowGroup& group : work->groups) {
        if (!packed.of(group.place)) continue;
        const int64_t column = packed.first_column();
        products.push_back({.m = group.count,
                            .n = packed.columns(),
                            .k = k,
                            .left = {row_of(x_TK, group.begin), k},
                            .right = packed.of(group.place),
                            .out = number_at(y_TN, group.begin, column),
                            .out_stride = n,
                            .out_type = number_of(type),
                            .add = add_TN ? number_at(*add_TN, group.begin, column) : nullptr});
      }
      kernels::panel_products(torch_parallel_for(), number_of(type), products);
    });
    work->wanted = graph && graph->requires_grad();
    context->save_for_backward({x_TK});
    context->saved_data["work"] = c10::IValue::make_capsule(work);
    context->saved_data["added"] = add_TN.has_value();
    return y_TN;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("linear layers");
    const Tensor x_TK = context->get_saved_variables()[0], grad_TN = gradients[0].contiguous();
    const auto work = c10::static_intrusive_pointer_cast<LinearWork>(context->saved_data["work"].toCapsule());
    const auto type = x_TK.scalar_type();
    const int64_t k = x_TK.size(1), n = grad_TN.size(1);
    const Tensor grad_x_TK = work->output(x_TK.size(0), k, x_TK.options());
    const WeightGradient gradient(*work->weight, work->wanted);
    work->each_packed(type, Layout::kBackward, [&](const PackedPlaces& packed) {
      std::vector<PanelProduct> products;
      for (const RowGroup& group : work->groups) {
        if (!packed.of(group.place)) continue;
        products.push_back({.m = group.count,
                            .n = packed.columns(),
                            .k = n,
                            .left = {row_of(grad_TN, group.begin), n},
                            .right = packed.of(group.place),
                            .out = number_at(grad_x_TK, group.begin, packed.first_column()),
                            .out_stride = k,
                            .out_type = number_of(type)});
        if (!gradient.wanted()) continue;
        products.push_back({.m = n,
                            .n = k,
                            .k = group.count,
                            .left = {row_of(grad_TN, group.begin), n},
                            .left_along = Along::kDepth,
                            .right_rows = {row_of(x_TK, group.begin), k},
                            .epilogue = gradient.epilogue(),
                            .out = gradient.of(group.place),
                            .out_stride = k});
      }
      kernels::panel_products(torch_parallel_for(), number_of(type), products);
    });
    return {grad_x_TK, gradient.returned(), context->saved_data["added"].toBool() ? grad_TN : Tensor(), Tensor()};
  }
};

}  // namespace

std::vector<int64_t> places_met(const std::vector<RowGroup>& groups) {
  std::vector<int64_t> places;
  for (const RowGroup& group : groups) {
    if (group.count > 0) places.push_back(group.place);
  }
  return places;
}

WeightGradient::WeightGradient(const Weight& weight, bool wanted) : wanted_(wanted) {
  if (!wanted) return;
  sink_ = weight.gradient_sink();
  if (sink_.defined()) return;
  const auto options = torch::dtype(torch::kFloat);
  // Matrices of a stack that no row meets are not among those that are packed in turns, so nothing is stored for them.
  own_ = weight.keeps_packed() ? torch::empty(weight.sizes(), options) : torch::zeros(weight.sizes(), options);
}

float* WeightGradient::of(int64_t e) const {
  const Tensor& memory = sink_.defined() ? sink_ : own_;
  return memory.data_ptr<float>() + e * memory.size(-2) * memory.size(-1);
}

Tensor linear(const Tensor& x_TK, const WeightPtr& weight, const Tensor& add_TN) {
  if (composed(x_TK)) return linear_reference(x_TK, weight, add_TN);
  const std::vector<RowGroup> all{{0, x_TK.size(0), 0}};
  return grouped_linear(x_TK, weight, all, with_adapters(x_TK, *weight, all, add_TN));
}

Tensor grouped_linear(const Tensor& x_TK, const WeightPtr& weight, const std::vector<RowGroup>& groups,
                      const Tensor& add_TN) {
  return Linear::apply(x_TK.contiguous(), optional_of(weight->graph()),
                       optional_of(add_TN.defined() ? add_TN.contiguous() : add_TN),
                       c10::make_intrusive<LinearWork>(weight, groups));
}

Tensor linear_reference(const Tensor& x_TK, const WeightPtr& weight, const Tensor& add_TN) {
  const Tensor y_TN = torch::linear(x_TK, weight->get(x_TK.scalar_type()));
  return add_TN.defined() ? y_TN + add_TN : y_TN;
}

}  // namespace dsmoe::moe
