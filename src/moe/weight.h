// Weights as layers see them: a tensor in the type the layer computes in, trainable or frozen.
//
// A layer holds a `WeightPtr` and asks for `get(type)`. What is behind it may be a float32 master that an optimiser
// moves (with a bfloat16 copy refreshed when the master changes), or a frozen tensor in any form that can produce
// values: adapters over a quantised base implement this interface and no layer changes.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

namespace dsmoe::moe {

using torch::Tensor;

class Weight {
 public:
  virtual ~Weight() = default;
  virtual std::vector<int64_t> sizes() const = 0;
  virtual torch::ScalarType type() const = 0;  ///< what get() hands out without a conversion
  /// Values in `type`. Differentiable with respect to the master where trainable; gradients arrive there in the
  /// master's own type. Valid until the master changes.
  virtual Tensor get(torch::ScalarType type) const = 0;
  /// The leaf an optimiser moves, or an undefined tensor where frozen.
  virtual Tensor trainable() const = 0;
};
using WeightPtr = std::shared_ptr<const Weight>;

/// `master` must be a leaf; it is float32, or float64 in gradient tests.
WeightPtr trainable_weight(const Tensor& master);
WeightPtr frozen_weight(const Tensor& values);

}  // namespace dsmoe::moe
