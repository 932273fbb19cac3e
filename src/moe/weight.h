// Weights as layers see them: a tensor in the type the layer computes in, trainable or frozen.
//
// A layer holds a `WeightPtr` and asks for `get(type)`. What is behind it may be a float32 master that an optimiser
// moves (with a bfloat16 copy refreshed when the master changes), or a frozen tensor in any form that can produce
// values: adapters over a quantised base implement this interface and no layer changes.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "kernels/panels.h"

namespace dsmoe::moe {

using torch::Tensor;

/// What a weight's rows are: outputs of a linear layer, or gates and then ups of a SwiGLU.
enum class WeightRows { kOutputs, kGateUp };

/// A weight as kernels/panels.h wants it on the right, E of them one after another where the weight is stacked: for
/// y = x W^T, and for dx = dy W.
struct PackedWeight {
  Tensor forward, backward;
  /// Of expert e.
  const void* forward_of(int64_t e) const { return at(forward, e); }
  const void* backward_of(int64_t e) const { return at(backward, e); }

 private:
  static const void* at(const Tensor& packed_EP, int64_t e) {
    return static_cast<const char*>(packed_EP.data_ptr()) + e * packed_EP.stride(0) * packed_EP.element_size();
  }
};

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

  /// The tensor whose gradient an operation on packed values owes: the leaf, or undefined.
  virtual Tensor graph() const { return trainable(); }
  /// Values in bf16 or float32, packed. Always asked for with the same `rows`; valid until the master changes.
  virtual PackedWeight packed(torch::ScalarType type, WeightRows rows) const = 0;
  /// Float32 memory of the leaf's gradient that an operation adds into, instead of handing a tensor to autograd that
  /// autograd would add there; undefined where there is none.
  virtual Tensor gradient_sink() const { return {}; }
};
using WeightPtr = std::shared_ptr<const Weight>;

/// `master` must be a leaf; it is float32, or float64 in gradient tests.
WeightPtr trainable_weight(const Tensor& master);
WeightPtr frozen_weight(const Tensor& values);

/// Packs [N, K] or [E, N, K], float32 or bf16, into `packed`, whose memory is used again where it fits.
void pack_weight(const Tensor& values, torch::ScalarType type, WeightRows rows, PackedWeight& packed);
/// The kernels' name for a tensor's type: bf16 or float32.
kernels::Number number_of(torch::ScalarType type);

}  // namespace dsmoe::moe
