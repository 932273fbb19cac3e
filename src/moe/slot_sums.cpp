#include "moe/slot_sums.h"

#include "kernels/slots.h"
#include "moe/packed_weight.h"
#include "moe/parallel.h"

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

Tensor values_by_row(const SlotPlan& plan, const Tensor& values_N) {
  const Tensor out_RK = torch::empty(plan.place_RK.sizes(), values_N.options());
  const auto* place = plan.place_RK.data_ptr<int32_t>();
  const auto* from = values_N.data_ptr<float>();
  auto* to = out_RK.data_ptr<float>();
  for (int64_t i = 0; i < out_RK.numel(); ++i) to[i] = place[i] < 0 ? 0.0F : from[place[i]];
  return out_RK;
}

}  // namespace dsmoe::moe
