#include "moe/packed_experts.h"

#include <torch/csrc/autograd/custom_function.h>

#include "moe/packing.h"
#include "moe/rows.h"
#include "moe/slot_sums.h"
#include "moe/swiglu.h"

namespace dsmoe::moe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor with_zero_row(int64_t rows, int64_t width, const torch::TensorOptions& options) {
  Tensor packed_PD = torch::empty({rows + 1, width}, options);
  packed_PD.narrow(0, rows, 1).zero_();
  return packed_PD;
}

/// The packed rows of a group of n experts as [n, C, width].
Tensor group_rows(const Tensor& packed, int64_t first, int64_t experts, int64_t capacity) {
  return packed.narrow(0, first, experts * capacity).view({experts, capacity, -1});
}
Tensor flat(const Tensor& x_nCD) { return x_nCD.view({-1, x_nCD.size(2)}); }

struct PackedExperts : torch::autograd::Function<PackedExperts> {
  static Tensor forward(AutogradContext* context, const Tensor& rows_RD, const Tensor& weights_RK,
                        const Tensor& gate_up, const Tensor& down, const SlotPlan* plan) {
    const Packing packing = pack(*plan);
    const Tensor row_P = packing.order_P.div(weights_RK.size(1), "floor");
    const Tensor weight_P = weights_RK.reshape(-1).index_select(0, packing.order_P) * packing.real_P;
    variable_list saved{rows_RD, weights_RK, gate_up, down, packing.place_RK, row_P, weight_P};
    const Tensor out_PD = with_zero_row(packing.rows(), rows_RD.size(1), rows_RD.options());
    for (const ExpertGroup& group : packing.groups) {
      const int64_t n = group.experts_n.size(0);
      const Tensor x =
          rows_RD.index_select(0, row_P.narrow(0, group.first, group.rows())).view({n, group.capacity, -1});
      const Tensor h = torch::bmm(x, gate_up.index_select(0, group.experts_n).transpose(1, 2));
      Tensor hidden = torch::empty({group.rows(), h.size(2) / 2}, h.options());
      swiglu_forward(flat(h), hidden);
      Tensor out = group_rows(out_PD, group.first, n, group.capacity);
      torch::bmm_out(out, hidden.view({n, group.capacity, -1}), down.index_select(0, group.experts_n).transpose(1, 2));
      saved.insert(saved.end(), {group.experts_n, h});
    }
    context->save_for_backward(std::move(saved));
    return gather_sum(out_PD, packing.place_RK, weights_RK);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &rows_RD = saved[0], &gate_up = saved[2], &down = saved[3];
    const Tensor &place_RK = saved[4], &row_P = saved[5], &weight_P = saved[6];
    const Tensor grad_out_RD = gradients[0].contiguous();
    const int64_t packed = row_P.size(0);
    const Tensor grad_rows_PD = with_zero_row(packed, rows_RD.size(1), rows_RD.options());
    const Tensor grad_weight_P = torch::zeros({packed + 1}, weight_P.options());
    // Experts without slots keep these zeros.
    const Tensor grad_gate_up = torch::zeros_like(gate_up), grad_down = torch::zeros_like(down);
    int64_t first = 0;
    for (size_t i = 7; i < saved.size(); i += 2) {
      const Tensor &experts_n = saved[i], &h = saved[i + 1];
      const int64_t n = h.size(0), capacity = h.size(1), rows = n * capacity;
      const Tensor row = row_P.narrow(0, first, rows);
      const Tensor g = grad_out_RD.index_select(0, row).view({n, capacity, -1});
      const Tensor grad_hidden = torch::bmm(g, down.index_select(0, experts_n));  // before the slot's weight
      SwigluGradients inner{torch::empty({rows, h.size(2)}, h.options()),
                            torch::empty({rows, h.size(2) / 2}, h.options()), grad_weight_P.narrow(0, first, rows)};
      swiglu_backward(flat(h), flat(grad_hidden), weight_P.narrow(0, first, rows), inner);
      const Tensor hidden = inner.weighted_out.view({n, capacity, -1}), grad_h = inner.grad_h.view({n, capacity, -1});
      grad_down.index_copy_(0, experts_n, torch::bmm(g.transpose(1, 2), hidden));
      const Tensor x = rows_RD.index_select(0, row).view({n, capacity, -1});
      grad_gate_up.index_copy_(0, experts_n, torch::bmm(grad_h.transpose(1, 2), x));
      Tensor target = group_rows(grad_rows_PD, first, n, capacity);
      torch::bmm_out(target, grad_h, gate_up.index_select(0, experts_n));
      first += rows;
    }
    const Tensor grad_weights_RK = grad_weight_P.index_select(0, place_RK.reshape(-1)).view(place_RK.sizes());
    return {gather_sum(grad_rows_PD, place_RK, {}), grad_weights_RK, grad_gate_up, grad_down, Tensor()};
  }
};

}  // namespace

Tensor packed_experts(const ExpertWork& work, const Tensor& gate_up, const Tensor& down) {
  return PackedExperts::apply(work.rows_RD.contiguous(),
                              work.weights_RK.to(wide(work.rows_RD.scalar_type())).contiguous(), gate_up, down,
                              &work.plan);
}

}  // namespace dsmoe::moe
