// A stack of experts' matrices of which some are trained and the others stay as they are.
//
// Each trained matrix is a leaf of its own over the stack's memory: an optimiser keeps gradients and moments for those
// alone, and what it writes is what the stack holds. Packed values of a leaf are made anew when the leaf has changed,
// those of the whole stack when somebody has written into that.
#pragma once

#include "moe/weight.h"

namespace dsmoe::moe {

class PartlyTrained final : public Weight {
 public:
  /// `stack` [E, N, K] has no gradient; `experts` are ascending, at least one.
  PartlyTrained(const Tensor& stack, std::vector<int64_t> experts);
  /// [N, K] each, in the order of the experts.
  const std::vector<Tensor>& leaves() const { return leaves_; }

  std::vector<int64_t> sizes() const override { return stack_.sizes().vec(); }
  torch::ScalarType type() const override { return stack_.scalar_type(); }
  Tensor get(torch::ScalarType type) const override;
  Tensor trainable() const override { return {}; }
  /// Any of the leaves: on the kernels every gradient goes straight into a leaf's memory.
  Tensor graph() const override { return leaves_.front(); }
  PackedWeight packed(torch::ScalarType type, WeightRows rows) const override;
  /// Float32 memory of each expert's gradient, which an operation adds to; null for those that stay.
  std::vector<float*> gradients() const;

 private:
  Tensor stack_;
  std::vector<int64_t> experts_;
  std::vector<Tensor> leaves_;
  mutable PackedWeight packed_;
  mutable int64_t packed_version_ = -1;
  mutable std::vector<int64_t> leaf_versions_;
};

}  // namespace dsmoe::moe
