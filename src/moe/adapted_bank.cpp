#include "moe/adapted_bank.h"

#include <torch/csrc/autograd/custom_function.h>

#include "moe/adapter.h"
#include "moe/parallel.h"
#include "moe/slot_sums.h"
#include "moe/swiglu.h"

namespace dsmoe::moe {
namespace {

using kernels::Epilogue;
using kernels::PanelProduct;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void* row_of(const Tensor& rows, int64_t row) {
  return static_cast<char*>(rows.data_ptr()) + row * rows.size(1) * rows.element_size();
}

/// What the steps of one bank share: frozen weights and the rows of each expert.
struct Shared : torch::CustomClassHolder {
  Shared(WeightPtr weight, std::vector<RowGroup> groups, SlotPlan plan)
      : weight(std::move(weight)), groups(std::move(groups)), plan(std::move(plan)) {}
  void each_packed(torch::ScalarType type, Layout layout, const std::function<void(const PackedPlaces&)>& run) const {
    weight->each_packed(type, WeightRows::kGateUp, layout, places_met(groups), run);
  }
  WeightPtr weight;
  std::vector<RowGroup> groups;
  SlotPlan plan;
};
using SharedPtr = c10::intrusive_ptr<Shared>;

SharedPtr shared_of(AutogradContext* context) {
  return c10::static_intrusive_pointer_cast<Shared>(context->saved_data["shared"].toCapsule());
}

/// The row that each slot reads; backward the sum over a row's slots.
struct RowsBySlot : torch::autograd::Function<RowsBySlot> {
  static Tensor forward(AutogradContext* context, const Tensor& rows_RD, const SharedPtr& shared) {
    context->saved_data["shared"] = c10::IValue::make_capsule(shared);
    return rows_RD.index_select(0, shared->plan.row_N);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {sum_of_slots(shared_of(context)->plan, gradients[0].contiguous(), {}, {}), Tensor()};
  }
};

/// silu(gate) * up of every row, where `add` goes to gates and ups before.
struct Hidden : torch::autograd::Function<Hidden> {
  static Tensor forward(AutogradContext* context, const Tensor& x_ND, const OptionalTensor& add_N2F,
                        const SharedPtr& shared) {
    const int64_t hidden = x_ND.size(1), width = shared->weight->sizes()[shared->weight->sizes().size() - 2] / 2;
    const auto type = x_ND.scalar_type();
    const Tensor gate_up_N2F = torch::empty({x_ND.size(0), 2 * width}, x_ND.options());
    const Tensor hidden_NF = torch::empty({x_ND.size(0), width}, x_ND.options());
    shared->each_packed(type, Layout::kForward, [&](const PackedPlaces& packed) {
      std::vector<PanelProduct> products;
      for (const RowGroup& group : shared->groups) {
        if (!packed.of(group.place)) continue;
        products.push_back(
            {.m = group.count,
             .n = 2 * width,
             .k = hidden,
             .left = {row_of(x_ND, group.begin), hidden},
             .right = packed.of(group.place),
             .epilogue = Epilogue::kSwiglu,
             .add = add_N2F ? row_of(*add_N2F, group.begin) : nullptr,
             .swiglu = {.gate_up = row_of(gate_up_N2F, group.begin), .hidden = row_of(hidden_NF, group.begin)}});
      }
      kernels::panel_products(torch_parallel_for(), number_of(type), products);
    });
    context->save_for_backward({gate_up_N2F});
    context->saved_data["shared"] = c10::IValue::make_capsule(shared);
    context->saved_data["added"] = add_N2F.has_value();
    return hidden_NF;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor gate_up_N2F = context->get_saved_variables()[0];
    const SharedPtr shared = shared_of(context);
    SwigluGradients inner{torch::empty_like(gate_up_N2F), {}, {}};
    swiglu_backward(gate_up_N2F, gradients[0].contiguous(), {}, inner);
    const int64_t hidden = shared->weight->sizes().back(), width2 = gate_up_N2F.size(1);
    const auto type = gate_up_N2F.scalar_type();
    const Tensor grad_x_ND = torch::empty({gate_up_N2F.size(0), hidden}, gate_up_N2F.options());
    shared->each_packed(type, Layout::kBackward, [&](const PackedPlaces& packed) {
      std::vector<PanelProduct> products;
      for (const RowGroup& group : shared->groups) {
        if (!packed.of(group.place)) continue;
        products.push_back({.m = group.count,
                            .n = hidden,
                            .k = width2,
                            .left = {row_of(inner.grad_h, group.begin), width2},
                            .right = packed.of(group.place),
                            .out = row_of(grad_x_ND, group.begin),
                            .out_stride = hidden,
                            .out_type = number_of(type)});
      }
      kernels::panel_products(torch_parallel_for(), number_of(type), products);
    });
    return {grad_x_ND, context->saved_data["added"].toBool() ? inner.grad_h : Tensor(), Tensor()};
  }
};

/// add[r] + sum over r's slots of weight * slots.
struct WeightedSum : torch::autograd::Function<WeightedSum> {
  static Tensor forward(AutogradContext* context, const Tensor& slots_ND, const Tensor& weights_RK,
                        const OptionalTensor& add_RD, const SharedPtr& shared) {
    context->save_for_backward({slots_ND, weights_RK});
    context->saved_data["shared"] = c10::IValue::make_capsule(shared);
    context->saved_data["added"] = add_RD.has_value();
    return sum_of_slots(shared->plan, slots_ND, weights_RK, add_RD.value_or(Tensor()));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &slots_ND = saved[0], &weights_RK = saved[1];
    const SlotPlan& plan = shared_of(context)->plan;
    const Tensor grad_ND = gradients[0].index_select(0, plan.row_N).to(torch::kFloat);
    const Tensor weight_N = weights_RK.view(-1).index_select(0, plan.order_N);
    const Tensor grad_weight_N = (grad_ND * slots_ND).sum(1);
    return {(grad_ND * weight_N.unsqueeze(1)).to(slots_ND.scalar_type()), values_by_row(plan, grad_weight_N),
            context->saved_data["added"].toBool() ? gradients[0] : Tensor(), Tensor()};
  }
};

std::vector<RowGroup> groups_of(const SlotPlan& plan) {
  std::vector<RowGroup> groups;
  for (size_t e = 0; e + 1 < plan.offsets.size(); ++e) {
    groups.push_back({plan.offsets[e], plan.offsets[e + 1] - plan.offsets[e], static_cast<int64_t>(e)});
  }
  return groups;
}

}  // namespace

Tensor adapted_swiglu_bank(const Tensor& rows_RD, const Tensor& add_RD, const WeightPtr& gate_up, const WeightPtr& down,
                           const RoutedSlots* slots) {
  const auto groups = slots ? groups_of(slots->plan) : std::vector<RowGroup>{{0, rows_RD.size(0), 0}};
  const auto shared = c10::make_intrusive<Shared>(gate_up, groups, slots ? slots->plan : SlotPlan{});
  const Tensor x_ND = slots ? RowsBySlot::apply(rows_RD.contiguous(), shared) : rows_RD.contiguous();
  const Tensor before_N2F = with_adapters(x_ND, *gate_up, groups, {});
  const Tensor hidden_NF = Hidden::apply(x_ND, optional_of(before_N2F), shared);
  const Tensor added_ND = with_adapters(hidden_NF, *down, groups, slots ? Tensor() : add_RD);
  const Tensor out_ND = grouped_linear(hidden_NF, down, groups, added_ND);
  if (!slots) return out_ND;
  return WeightedSum::apply(out_ND, slots->weights_RK.to(torch::kFloat).contiguous(),
                            optional_of(add_RD.defined() ? add_RD.contiguous() : add_RD), shared);
}

}  // namespace dsmoe::moe
