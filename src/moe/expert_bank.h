// ExpertBank: E SwiGLU experts of one shape, stacked, and the weighted sum of what they say about each row.
//
// Three expressions of one function: on our kernels (moe/swiglu_bank.h), composed of LibTorch's operations
// (moe/packed_experts.h), and the reference, the paper's equation 3 expert by expert, left to autograd.
#pragma once

#include <utility>

#include "moe/dispatcher.h"
#include "moe/weight.h"

namespace dsmoe::moe {

class ExpertBank {
 public:
  /// gate_up [E, 2F, D] (gate_proj above up_proj), down [E, D, F].
  ExpertBank(WeightPtr gate_up, WeightPtr down) : gate_up_(std::move(gate_up)), down_(std::move(down)) {}
  /// out_RD in the rows' type, which is the type computed in.
  Tensor forward(const ExpertWork& work) const;
  Tensor forward_reference(const ExpertWork& work) const;
  int64_t experts() const { return gate_up_->sizes()[0]; }

 private:
  WeightPtr gate_up_, down_;
};

}  // namespace dsmoe::moe
