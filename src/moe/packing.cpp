#include "moe/packing.h"

#include <algorithm>
#include <numeric>

namespace dsmoe::moe {
namespace {

// Measured with 63 experts under even and skewed loads: eight batches cost hardly more than one and keep the padding
// small; a row count that is no multiple of 32 costs oneDNN's bfloat16 product a factor of three.
constexpr int64_t kGroups = 8;
constexpr int64_t kRounding = 32;

std::vector<int64_t> experts_by_load(const SlotPlan& plan) {
  const auto load = [&](int64_t e) {
    return plan.offsets[static_cast<size_t>(e) + 1] - plan.offsets[static_cast<size_t>(e)];
  };
  std::vector<int64_t> experts(static_cast<size_t>(plan.experts()));
  std::iota(experts.begin(), experts.end(), 0);
  std::erase_if(experts, [&](int64_t e) { return load(e) == 0; });
  std::stable_sort(experts.begin(), experts.end(), [&](int64_t a, int64_t b) { return load(a) > load(b); });
  return experts;
}

}  // namespace

Packing pack(const SlotPlan& plan) {
  const std::vector<int64_t> experts = experts_by_load(plan);
  const auto device = plan.order_N.device();
  const auto count = static_cast<int64_t>(experts.size());
  const int64_t per_group = std::max<int64_t>(1, (count + kGroups - 1) / kGroups);
  Packing packing;
  // packed row -> slot (N for padding), and back
  std::vector<int64_t> slot_of_row;
  std::vector<int64_t> row_of_slot(static_cast<size_t>(plan.slots()) + 1);
  for (int64_t begin = 0; begin < count; begin += per_group) {
    const int64_t end = std::min(count, begin + per_group);
    const auto first_expert = static_cast<size_t>(experts[static_cast<size_t>(begin)]);
    const int64_t largest = plan.offsets[first_expert + 1] - plan.offsets[first_expert];
    const int64_t capacity = (largest + kRounding - 1) / kRounding * kRounding;
    const auto first = static_cast<int64_t>(slot_of_row.size());
    for (int64_t i = begin; i < end; ++i) {
      const auto expert = static_cast<size_t>(experts[static_cast<size_t>(i)]);
      const int64_t load = plan.offsets[expert + 1] - plan.offsets[expert];
      for (int64_t c = 0; c < capacity; ++c) {
        const int64_t slot = c < load ? plan.offsets[expert] + c : plan.slots();
        row_of_slot[static_cast<size_t>(slot)] = static_cast<int64_t>(slot_of_row.size());
        slot_of_row.push_back(slot);
      }
    }
    const auto ids = torch::from_blob(const_cast<int64_t*>(experts.data()) + begin, {end - begin}, torch::kInt64);
    packing.groups.push_back({ids.clone().to(device), first, capacity});
  }
  row_of_slot.back() = static_cast<int64_t>(slot_of_row.size());

  const auto tensor = [&](std::vector<int64_t>& values) {
    return torch::from_blob(values.data(), {static_cast<int64_t>(values.size())}, torch::kInt64).clone().to(device);
  };
  const Tensor slot_P = tensor(slot_of_row);
  packing.real_P = slot_P < plan.slots();
  const Tensor padded_order = torch::cat({plan.order_N, torch::zeros({1}, plan.order_N.options())});
  packing.order_P = padded_order.index_select(0, slot_P);
  packing.place_RK = tensor(row_of_slot).index_select(0, plan.position_RK.reshape(-1)).view(plan.position_RK.sizes());
  return packing;
}

}  // namespace dsmoe::moe
