#include "moe/slot_sums.h"

#include "kernels/slots.h"
#include "moe/composed.h"
#include "moe/packed_weight.h"
#include "moe/parallel.h"
#include "moe/rows.h"

namespace dsmoe::moe {

Tensor sum_of_slots(const SlotPlan& plan, const Tensor& slots_ND, const Tensor& weights_RK, const Tensor& add_RD) {
  const Tensor& place = plan.place_RK;
  const Tensor out_RD = torch::empty({place.size(0), slots_ND.size(1)}, slots_ND.options());
  const kernels::Number number = number_of(slots_ND.scalar_type());
  kernels::combine_slots(torch_parallel_for(),
                         {.tokens = place.size(0),
                          .slots = place.size(1),
                          .width = slots_ND.size(1),
                          .place = place.data_ptr<int32_t>(),
                          .weights = weights_RK.defined() ? weights_RK.data_ptr<float>() : nullptr,
                          .rows_type = number,
                          .rows = slots_ND.data_ptr(),
                          .out_type = number,
                          .add = add_RD.defined() ? add_RD.data_ptr() : nullptr,
                          .out = out_RD.data_ptr()});
  return out_RD;
}

Tensor gather_sum(const Tensor& packed_PD, const Tensor& place_RK, const Tensor& weights_RK) {
  const int64_t rows = place_RK.size(0), chosen = place_RK.size(1), width = packed_PD.size(1);
  const auto type = wide(packed_PD.scalar_type());
  Tensor out_RD = torch::empty({rows, width}, packed_PD.options());
  for_row_pieces(packed_PD, rows, rows_per_piece(chosen * width), [&](int64_t, int64_t begin, int64_t end) {
    const Tensor place = place_RK.narrow(0, begin, end - begin).reshape(-1);
    Tensor terms = packed_PD.index_select(0, place).to(type).view({end - begin, chosen, width});
    if (weights_RK.defined()) terms = terms * weights_RK.narrow(0, begin, end - begin).unsqueeze(2);
    out_RD.narrow(0, begin, end - begin).copy_(terms.sum(1));
  });
  return out_RD;
}

Tensor sums_by_row(const SlotPlan& plan, const Tensor& slots_ND) {
  if (!composed(slots_ND)) return sum_of_slots(plan, slots_ND, {}, {});
  const Tensor nothing_1D = torch::zeros({1, slots_ND.size(1)}, slots_ND.options());
  return gather_sum(torch::cat({slots_ND, nothing_1D}), plan.position_RK, {});
}

Tensor values_by_row(const SlotPlan& plan, const Tensor& values_N) {
  const Tensor out_RK = torch::empty(plan.place_RK.sizes(), values_N.options());
  const auto* place = plan.place_RK.data_ptr<int32_t>();
  const auto* from = values_N.data_ptr<float>();
  auto* to = out_RK.data_ptr<float>();
  for (int64_t i = 0; i < out_RK.numel(); ++i) to[i] = place[i] < 0 ? 0.0F : from[place[i]];
  return out_RK;
}

}  // namespace dsmoe::moe
