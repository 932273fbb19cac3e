// A linear layer over a Weight: y = x W^T, on the kernels where they apply.
#pragma once

#include "moe/weight.h"

namespace dsmoe::moe {

/// x [T, K] times weight [N, K] transposed, plus `add` [T, N] where defined (a residual), in x's type; differentiable
/// in all three. Sums are float32 in a fixed order, rounded once after the addition.
Tensor linear(const Tensor& x_TK, const WeightPtr& weight, const Tensor& add_TN = {});

/// Rows begin .. begin + count of a list meet weight `place` of a stack.
struct RowGroup {
  int64_t begin, count, place;
};
/// The places that any rows meet, for Weight::each_packed.
std::vector<int64_t> places_met(const std::vector<RowGroup>& groups);
/// The same for a stack [C, N, K] of weights, each of which meets its own rows, on the kernels alone. Every weight of
/// the stack has a group, of no rows perhaps; what is computed for rows outside all groups is zero.
Tensor grouped_linear(const Tensor& x_TK, const WeightPtr& weight, const std::vector<RowGroup>& groups,
                      const Tensor& add_TN = {});
/// linear() as one expression of LibTorch: the definition, and the path of other devices.
Tensor linear_reference(const Tensor& x_TK, const WeightPtr& weight, const Tensor& add_TN = {});

/// Where an operation puts the gradient of a weight: into the leaf's memory, or into a new tensor that autograd takes.
class WeightGradient {
 public:
  WeightGradient(const Weight& weight, bool wanted);
  bool wanted() const { return wanted_; }
  /// Float32 memory of expert e, and whether to add to what is there.
  float* of(int64_t e) const;
  kernels::Epilogue epilogue() const { return sink_.defined() ? kernels::Epilogue::kAdd : kernels::Epilogue::kStore; }
  /// What the backward pass returns for the weight.
  const Tensor& returned() const { return own_; }

 private:
  bool wanted_;
  Tensor sink_, own_;
};

/// An input of an autograd function that may be missing. Its gradient is then to be left out too.
using OptionalTensor = c10::optional<Tensor>;
inline OptionalTensor optional_of(const Tensor& x) { return x.defined() ? OptionalTensor(x) : c10::nullopt; }

/// Keeps weights alive between the two passes of an autograd function.
struct KeptWeights : torch::CustomClassHolder {
  explicit KeptWeights(std::vector<WeightPtr> weights) : weights(std::move(weights)) {}
  std::vector<WeightPtr> weights;
};

}  // namespace dsmoe::moe
