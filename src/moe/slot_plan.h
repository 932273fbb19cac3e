// The order in which token slots meet experts: a counting sort, kept as indices.
//
// A slot is one (row, choice) pair that was kept. Nothing is copied here: the plan says which row each slot reads and
// where each row finds its slots again. Slots of one expert stand together, in the order of their rows.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace dsmoe::moe {

using torch::Tensor;

struct SlotPlan {
  Tensor order_N;          ///< int64 r*K + k of each slot, by expert, then by row and choice
  Tensor position_RK;      ///< int64 place of slot (r, k) in order_N; N where it was not kept
  Tensor row_N, place_RK;  ///< the same for kernels: int32 row r of each slot; place of each slot, or -1. On the CPU
  std::vector<int64_t> offsets;  ///< E + 1: expert e has slots offsets[e] .. offsets[e+1]

  int64_t slots() const { return order_N.size(0); }
  int64_t experts() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

/// experts_RK int64 in [0, E); kept_RK bool or undefined (all). Works on the CPU, whatever the tensors' device: the
/// one place where a device waits for the host.
SlotPlan plan_slots(const Tensor& experts_RK, const Tensor& kept_RK, int64_t experts);

}  // namespace dsmoe::moe
