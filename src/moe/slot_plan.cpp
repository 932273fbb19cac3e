#include "moe/slot_plan.h"

#include "base/error.h"

namespace dsmoe::moe {

SlotPlan plan_slots(const Tensor& experts_RK, const Tensor& kept_RK, int64_t experts) {
  const Tensor ids = experts_RK.detach().to(torch::kCPU, torch::kInt64).contiguous();
  const int64_t all = ids.numel();
  const auto* id = ids.data_ptr<int64_t>();
  Tensor kept_host;
  const bool* kept = nullptr;
  if (kept_RK.defined()) {
    kept_host = kept_RK.to(torch::kCPU).contiguous();
    kept = kept_host.data_ptr<bool>();
  }

  SlotPlan plan;
  plan.offsets.assign(static_cast<size_t>(experts) + 1, 0);
  for (int64_t i = 0; i < all; ++i) {
    DSMOE_CHECK(id[i] >= 0 && id[i] < experts, "a gate chose an expert that does not exist");
    if (!kept || kept[i]) ++plan.offsets[static_cast<size_t>(id[i]) + 1];
  }
  for (size_t e = 1; e < plan.offsets.size(); ++e) plan.offsets[e] += plan.offsets[e - 1];
  const int64_t slots = plan.offsets.back();

  Tensor order = torch::empty({slots}, torch::kInt64), position = torch::empty(ids.sizes(), torch::kInt64);
  plan.row_N = torch::empty({slots}, torch::kInt32);
  plan.place_RK = torch::empty(ids.sizes(), torch::kInt32);
  auto* row = plan.row_N.data_ptr<int32_t>();
  auto* kernel_place = plan.place_RK.data_ptr<int32_t>();
  const int64_t chosen = ids.dim() > 1 ? ids.size(1) : 1;
  auto* order_data = order.data_ptr<int64_t>();
  auto* position_data = position.data_ptr<int64_t>();
  std::vector<int64_t> next(plan.offsets.begin(), plan.offsets.end() - 1);
  for (int64_t i = 0; i < all; ++i) {
    if (kept && !kept[i]) {
      position_data[i] = slots;
      kernel_place[i] = -1;
    } else {
      const int64_t place = next[static_cast<size_t>(id[i])]++;
      order_data[place] = i;
      position_data[i] = place;
      row[place] = static_cast<int32_t>(i / chosen);
      kernel_place[i] = static_cast<int32_t>(place);
    }
  }
  plan.order_N = order.to(experts_RK.device());
  plan.position_RK = position.to(experts_RK.device());
  return plan;
}

}  // namespace dsmoe::moe
