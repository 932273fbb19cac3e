#include "moe/swiglu_bank.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/part_clock.h"
#include "moe/adapted_bank.h"
#include "moe/linear.h"
#include "moe/parallel.h"
#include "moe/partly_trained.h"
#include "moe/slot_sums.h"

namespace dsmoe::moe {
namespace {

using kernels::Along;
using kernels::Epilogue;
using kernels::Number;
using kernels::PanelProduct;
using kernels::RowsView;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What both passes know: the weights, the slots and their shapes.
struct Bank : torch::CustomClassHolder {
  Bank(WeightPtr gate_up, WeightPtr down, const RoutedSlots* slots)
      : gate_up(std::move(gate_up)), down(std::move(down)), routed(slots != nullptr) {
    if (slots) plan = slots->plan;
  }
  int64_t width() const { return down->sizes().back(); }

  WeightPtr gate_up, down;
  SlotPlan plan;  ///< unused where every row visits the one expert
  bool routed;
  bool gate_up_wanted = false, down_wanted = false;  ///< gradients
};

/// Where the gradients of the experts of one weight go: of a partly trained stack, to each trained expert's own.
class BankGradient {
 public:
  BankGradient(const Weight& weight, bool wanted)
      : partly_(dynamic_cast<const PartlyTrained*>(&weight)), whole_(weight, wanted && partly_ == nullptr) {
    if (partly_ != nullptr && wanted) by_expert_ = partly_->gradients();
  }
  /// Float32 memory of expert e; null where its gradient is not wanted.
  float* of(int64_t e) const {
    if (!by_expert_.empty()) return by_expert_[static_cast<size_t>(e)];
    return whole_.wanted() ? whole_.of(e) : nullptr;
  }
  Epilogue epilogue() const { return partly_ != nullptr ? Epilogue::kAdd : whole_.epilogue(); }
  const Tensor& returned() const { return whole_.returned(); }

 private:
  const PartlyTrained* partly_;
  WeightGradient whole_;
  std::vector<float*> by_expert_;
};

/// The products of one pass over the bank, expert by expert. N slots (or rows), D model, F width.
class Pass {
 public:
  Pass(const Bank& bank, const Tensor& rows_RD)
      : bank_(bank),
        type_(rows_RD.scalar_type()),
        number_(number_of(type_)),
        bytes_(rows_RD.element_size()),
        slots_(bank.routed ? bank.plan.slots() : rows_RD.size(0)),
        hidden_(rows_RD.size(1)),
        width_(bank.width()),
        gate_up_(bank.gate_up->packed(type_, WeightRows::kGateUp)),
        down_(bank.down->packed(type_, WeightRows::kOutputs)),
        rows_(rows_RD) {}

  Tensor slot_rows(int64_t width) const { return torch::empty({slots_, width}, rows_.options()); }

  /// hidden = silu(gate) up of every slot; gate and up are written to gate_up_N2F.
  void forward_up(const Tensor& gate_up_N2F, const Tensor& hidden_NF) {
    each_expert([&](int64_t e, int64_t first, int64_t count) {
      products_.push_back({.m = count,
                           .n = 2 * width_,
                           .k = hidden_,
                           .left = rows_of(rows_, first),
                           .right = gate_up_.forward_of(e),
                           .epilogue = Epilogue::kSwiglu,
                           .swiglu = {.gate_up = at(gate_up_N2F, first), .hidden = at(hidden_NF, first)}});
    });
    run();
  }

  /// out = hidden down', plus add.
  void forward_down(const Tensor& hidden_NF, const Tensor& out_ND, const Tensor& add_RD) {
    each_expert([&](int64_t e, int64_t first, int64_t count) {
      products_.push_back({.m = count,
                           .n = hidden_,
                           .k = width_,
                           .left = {at(hidden_NF, first), width_},
                           .right = down_.forward_of(e),
                           .out = at(out_ND, first),
                           .out_stride = hidden_,
                           .out_type = number_,
                           .add = add_RD.defined() ? at(add_RD, first) : nullptr});
    });
    run();
  }

  /// From the gradient of the output to those of gate and up, of the slots' weights, and to the weighted hidden rows.
  void backward_up(const Tensor& grad_RD, const kernels::SwigluTile& all) {
    each_expert([&](int64_t e, int64_t first, int64_t count) {
      const auto shifted = [&](void* rows, int64_t width) { return static_cast<char*>(rows) + first * width * bytes_; };
      products_.push_back({.m = count,
                           .n = width_,
                           .k = hidden_,
                           .left = rows_of(grad_RD, first),
                           .right = down_.backward_of(e),
                           .epilogue = Epilogue::kSwigluBackward,
                           .swiglu = {.gate_up = shifted(all.gate_up, 2 * width_),
                                      .hidden = shifted(all.hidden, width_),
                                      .grad_gate_up = shifted(all.grad_gate_up, 2 * width_),
                                      .weight = all.weight ? all.weight + first : nullptr,
                                      .grad_weight = all.grad_weight ? all.grad_weight + first : nullptr}});
    });
    run();
  }

  /// Gradients of the rows, slot by slot, and of both weights: one list.
  void backward_down(const Tensor& grad_RD, const Tensor& grad_gate_up_N2F, const Tensor& hidden_NF,
                     const Tensor& grad_rows_ND, const BankGradient& grad_gate_up, const BankGradient& grad_down) {
    each_expert([&](int64_t e, int64_t first, int64_t count) {
      const RowsView grad_h{at(grad_gate_up_N2F, first), 2 * width_};
      products_.push_back({.m = count,
                           .n = hidden_,
                           .k = 2 * width_,
                           .left = grad_h,
                           .right = gate_up_.backward_of(e),
                           .out = at(grad_rows_ND, first),
                           .out_stride = hidden_,
                           .out_type = number_});
      const auto weight_product = [&](const BankGradient& gradient, int64_t m, int64_t n, const RowsView& left,
                                      const RowsView& right) {
        float* const out = gradient.of(e);
        if (out == nullptr) return;
        products_.push_back({.m = m,
                             .n = n,
                             .k = count,
                             .left = left,
                             .left_along = Along::kDepth,
                             .right_rows = right,
                             .epilogue = gradient.epilogue(),
                             .out = out,
                             .out_stride = n});
      };
      weight_product(grad_gate_up, 2 * width_, hidden_, grad_h, rows_of(rows_, first));
      weight_product(grad_down, hidden_, width_, rows_of(grad_RD, first), {at(hidden_NF, first), width_});
    });
    run();
  }

 private:
  template <class Body>
  void each_expert(const Body& body) {
    if (!bank_.routed) return body(0, 0, slots_);
    const auto& offsets = bank_.plan.offsets;
    for (size_t e = 0; e + 1 < offsets.size(); ++e) {
      body(static_cast<int64_t>(e), offsets[e], offsets[e + 1] - offsets[e]);
    }
  }
  void run() {
    kernels::panel_products(torch_parallel_for(), number_, products_);
    products_.clear();
  }
  /// Rows [R, D] that the slots from `first` on read.
  RowsView rows_of(const Tensor& rows_RD, int64_t first) const {
    if (!bank_.routed) return {rows_RD.data_ptr(), hidden_};
    return {rows_RD.data_ptr(), hidden_, bank_.plan.row_N.data_ptr<int32_t>() + first};
  }
  void* at(const Tensor& rows, int64_t first) const {
    return static_cast<char*>(rows.data_ptr()) + first * rows.size(1) * bytes_;
  }

  const Bank& bank_;
  torch::ScalarType type_;
  Number number_;
  int64_t bytes_, slots_, hidden_, width_;
  PackedWeight gate_up_, down_;
  Tensor rows_;
  std::vector<PanelProduct> products_;
};

struct SwigluBank : torch::autograd::Function<SwigluBank> {
  static Tensor forward(AutogradContext* context, const Tensor& rows_RD, const OptionalTensor& add,
                        const OptionalTensor& weights, const OptionalTensor& gate_up_graph,
                        const OptionalTensor& down_graph, const c10::intrusive_ptr<Bank>& bank) {
    const base::Part part(bank->routed ? "routed experts" : "shared experts");
    bank->gate_up_wanted = gate_up_graph && gate_up_graph->requires_grad();
    bank->down_wanted = down_graph && down_graph->requires_grad();
    const Tensor add_RD = add.value_or(Tensor()), weights_RK = weights.value_or(Tensor());
    Pass pass(*bank, rows_RD);
    const Tensor gate_up_N2F = pass.slot_rows(2 * bank->width()), hidden_NF = pass.slot_rows(bank->width());
    pass.forward_up(gate_up_N2F, hidden_NF);
    context->save_for_backward({rows_RD, weights_RK, gate_up_N2F});
    context->saved_data["bank"] = c10::IValue::make_capsule(bank);
    context->saved_data["added"] = add.has_value();
    const Tensor out_ND = pass.slot_rows(rows_RD.size(1));
    pass.forward_down(hidden_NF, out_ND, bank->routed ? Tensor() : add_RD);
    return bank->routed ? sum_of_slots(bank->plan, out_ND, weights_RK, add_RD) : out_ND;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &rows_RD = saved[0], &weights_RK = saved[1], &gate_up_N2F = saved[2];
    const auto bank = c10::static_intrusive_pointer_cast<Bank>(context->saved_data["bank"].toCapsule());
    const base::Part part(bank->routed ? "routed experts" : "shared experts");
    const Tensor grad_RD = gradients[0].contiguous();
    Pass pass(*bank, rows_RD);
    const Tensor grad_gate_up_N2F = pass.slot_rows(2 * bank->width()), hidden_NF = pass.slot_rows(bank->width());
    Tensor weight_N, grad_weight_N;
    kernels::SwigluTile all{
        .gate_up = gate_up_N2F.data_ptr(), .hidden = hidden_NF.data_ptr(), .grad_gate_up = grad_gate_up_N2F.data_ptr()};
    if (bank->routed) {
      weight_N = weights_RK.view(-1).index_select(0, bank->plan.order_N);
      grad_weight_N = torch::empty_like(weight_N);
      all.weight = weight_N.data_ptr<float>();
      all.grad_weight = grad_weight_N.data_ptr<float>();
    }
    pass.backward_up(grad_RD, all);

    const BankGradient grad_gate_up(*bank->gate_up, bank->gate_up_wanted), grad_down(*bank->down, bank->down_wanted);
    const Tensor grad_slots_ND = pass.slot_rows(rows_RD.size(1));
    pass.backward_down(grad_RD, grad_gate_up_N2F, hidden_NF, grad_slots_ND, grad_gate_up, grad_down);
    const Tensor grad_rows_RD = bank->routed ? sum_of_slots(bank->plan, grad_slots_ND, {}, {}) : grad_slots_ND;
    return {grad_rows_RD,
            context->saved_data["added"].toBool() ? grad_RD : Tensor(),
            bank->routed ? values_by_row(bank->plan, grad_weight_N) : Tensor(),
            grad_gate_up.returned(),
            grad_down.returned(),
            Tensor()};
  }
};

}  // namespace

Tensor swiglu_bank(const Tensor& rows_RD, const Tensor& add_RD, const WeightPtr& gate_up, const WeightPtr& down,
                   const RoutedSlots* slots) {
  const bool in_steps = gate_up->adapters() || down->adapters() || !gate_up->keeps_packed() || !down->keeps_packed();
  if (in_steps) return adapted_swiglu_bank(rows_RD, add_RD, gate_up, down, slots);
  const Tensor add = add_RD.defined() ? add_RD.contiguous() : Tensor();
  const Tensor weights_RK = slots ? slots->weights_RK.to(torch::kFloat).contiguous() : Tensor();
  return SwigluBank::apply(rows_RD.contiguous(), optional_of(add), optional_of(weights_RK),
                           optional_of(gate_up->graph()), optional_of(down->graph()),
                           c10::make_intrusive<Bank>(gate_up, down, slots));
}

}  // namespace dsmoe::moe
