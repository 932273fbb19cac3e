#include "moe/packing.h"

#include <algorithm>
#include <numeric>

namespace dsmoe::moe {
namespace {

// Experts join a batch while their load is at least kFill of its largest; loads that differ by a factor r make at most
// 1 + log(r)/log(1/kFill) batches. A row count that is no multiple of 32 costs oneDNN's bfloat16 product a factor of
// three (measured: 63 experts, 464 against 480 rows of 256).
constexpr double kFill = 0.75;
constexpr int64_t kRounding = 32;

int64_t rounded(int64_t load) { return (load + kRounding - 1) / kRounding * kRounding; }

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
  const auto begin_of = [&](size_t i) { return plan.offsets[static_cast<size_t>(experts[i])]; };
  const auto load_of = [&](size_t i) { return plan.offsets[static_cast<size_t>(experts[i]) + 1] - begin_of(i); };
  const auto device = plan.order_N.device();
  Packing packing;
  // packed row -> slot (N for padding), and back
  std::vector<int64_t> slot_of_row;
  std::vector<int64_t> row_of_slot(static_cast<size_t>(plan.slots()) + 1);
  for (size_t begin = 0, end = 0; begin < experts.size(); begin = end) {
    const int64_t capacity = rounded(load_of(begin));
    const auto first = static_cast<int64_t>(slot_of_row.size());
    const auto fits = [&](size_t i) { return double(rounded(load_of(i))) >= kFill * double(capacity); };
    for (end = begin; end < experts.size() && fits(end); ++end) {
      for (int64_t c = 0; c < capacity; ++c) {
        const int64_t slot = c < load_of(end) ? begin_of(end) + c : plan.slots();
        row_of_slot[static_cast<size_t>(slot)] = static_cast<int64_t>(slot_of_row.size());
        slot_of_row.push_back(slot);
      }
    }
    const std::vector<int64_t> ids(experts.begin() + std::ptrdiff_t(begin), experts.begin() + std::ptrdiff_t(end));
    packing.groups.push_back({torch::tensor(ids, torch::kInt64).to(device), first, capacity});
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
