// A SwiGLU feed-forward network: the dense FFN of a block, and the bank of shared experts.
//
// Shared experts are always on and unweighted (paper eq. 9), so a bank of n is one FFN of n times the width: SwiGLU is
// elementwise over the width, and down_proj sums over it.
#pragma once

#include <utility>

#include "moe/composed.h"
#include "moe/linear.h"
#include "moe/swiglu.h"
#include "moe/swiglu_bank.h"
#include "moe/weight.h"

namespace dsmoe::moe {

class Ffn {
 public:
  /// gate_up [2F, D] (gate_proj above up_proj), down [D, F].
  Ffn(WeightPtr gate_up, WeightPtr down) : gate_up_(std::move(gate_up)), down_(std::move(down)) {}
  /// x [T, D], plus `add` [T, D] where defined.
  Tensor forward(const Tensor& x_TD, const Tensor& add_TD = {}) const {
    if (!composed(x_TD)) return swiglu_bank(x_TD, add_TD, gate_up_, down_, nullptr);
    return linear_reference(swiglu(linear_reference(x_TD, gate_up_)), down_, add_TD);
  }

 private:
  WeightPtr gate_up_, down_;
};
using SharedBank = Ffn;

}  // namespace dsmoe::moe
