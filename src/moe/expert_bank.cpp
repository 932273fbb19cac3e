#include "moe/expert_bank.h"

#include "moe/composed.h"
#include "moe/packed_experts.h"
#include "moe/swiglu.h"
#include "moe/swiglu_bank.h"

namespace dsmoe::moe {

Tensor ExpertBank::forward(const ExpertWork& work) const {
  const auto type = work.rows_RD.scalar_type();
  if (composed(work.rows_RD)) return packed_experts(work, gate_up_->get(type), down_->get(type));
  const RoutedSlots slots{work.weights_RK, work.plan};
  return swiglu_bank(work.rows_RD, {}, gate_up_, down_, &slots);
}

Tensor ExpertBank::forward_reference(const ExpertWork& work) const {
  const auto type = work.rows_RD.scalar_type();
  const Tensor gate_up = gate_up_->get(type), down = down_->get(type);
  const int64_t chosen = work.weights_RK.size(1);
  Tensor out_RD = torch::zeros_like(work.rows_RD);
  for (int64_t e = 0; e < work.plan.experts(); ++e) {
    const int64_t begin = work.plan.offsets[static_cast<size_t>(e)];
    const Tensor slots = work.plan.order_N.narrow(0, begin, work.plan.offsets[static_cast<size_t>(e) + 1] - begin);
    const Tensor rows = slots.div(chosen, "floor");
    const Tensor h = work.rows_RD.index_select(0, rows).matmul(gate_up[e].t());
    const Tensor out = swiglu_reference(h).matmul(down[e].t());
    const Tensor weight = work.weights_RK.reshape(-1).index_select(0, slots).to(type);
    out_RD = out_RD.index_add(0, rows, out * weight.unsqueeze(1));
  }
  return out_RD;
}

}  // namespace dsmoe::moe
