// Packing: the slots of similarly loaded experts side by side in a few padded batches, as indices.
//
// LibTorch has no ragged product on a CPU. One product per expert builds a new primitive for almost every shape; one
// batch padded to the largest load computes mostly padding once routing is uneven. A few batches of experts with
// nearly equal loads avoid both; their number grows with the unevenness of loads, not with the experts'.
#pragma once

#include <vector>

#include "moe/slot_plan.h"

namespace dsmoe::moe {

/// Experts that share one batch product of `capacity` rows each; packed rows first .. first + n*capacity.
struct ExpertGroup {
  Tensor experts_n;  ///< int64 ids
  int64_t first;
  int64_t capacity;
  int64_t rows() const { return experts_n.size(0) * capacity; }
};

struct Packing {
  std::vector<ExpertGroup> groups;  ///< from the most to the least loaded; experts without slots are in none
  Tensor order_P;                   ///< int64 r*K + k of each packed row; 0 for padding
  Tensor real_P;                    ///< bool, false for padding
  Tensor place_RK;                  ///< int64 packed row of slot (r, k); P where it was not kept

  int64_t rows() const { return order_P.size(0); }
};

Packing pack(const SlotPlan& plan);

}  // namespace dsmoe::moe
