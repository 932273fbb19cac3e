// Weights as layers see them: a tensor in the type the layer computes in, trainable or frozen.
//
// A layer holds a `WeightPtr` and asks for `get(type)`. What is behind it may be a float32 master that an optimiser
// moves (with a bfloat16 copy refreshed when the master changes), or a frozen tensor in any form that can produce
// values, alone or with adapters beside it (moe/adapter.h).
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "moe/packed_weight.h"

namespace dsmoe::moe {

struct AdapterPart;

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
  /// Adapters beside the values, which get() includes and packed values do not; null: none.
  virtual const std::vector<AdapterPart>* adapters() const { return nullptr; }

  /// The tensor whose gradient an operation on packed values owes: the leaf, or undefined.
  virtual Tensor graph() const { return trainable(); }
  /// Rows of a matrix by their index [T], in `type`; differentiable as get() is.
  virtual Tensor rows_at(const Tensor& index_T, torch::ScalarType type) const;

  /// Whether packed values of the whole weight are kept. Where they are not, each_packed() makes them anew.
  virtual bool keeps_packed() const { return true; }
  /// Values in bf16 or float32, packed, of a weight that keeps them. Always asked for with the same `rows`; valid until
  /// the master changes.
  virtual PackedWeight packed(torch::ScalarType type, WeightRows rows) const = 0;
  /// Hands work() the packed matrices in one layout, of a weight that does not keep them those of `places` (ascending
  /// experts, 0 for one matrix) a few at a time, or a large one in parts. They are valid while work() runs.
  virtual void each_packed(torch::ScalarType type, WeightRows rows, Layout layout, std::span<const int64_t> places,
                           const std::function<void(const PackedPlaces&)>& work) const;
  /// Float32 memory of the leaf's gradient that an operation adds into, instead of handing a tensor to autograd that
  /// autograd would add there; undefined where there is none.
  virtual Tensor gradient_sink() const { return {}; }

  /// For an optimiser that packs what it has just updated: the pieces of the packed values, null where there are none.
  virtual const WeightPieces* pieces() const { return nullptr; }
  /// Packs a piece of the changed master again; from several threads at once.
  virtual void pack_again(int64_t piece) const { (void)piece; }
  /// Says that every piece has been.
  virtual void packed_again() const {}
};
using WeightPtr = std::shared_ptr<const Weight>;

/// `master` must be a leaf; it is float32, or float64 in gradient tests. With `memory` nothing packed is kept, and it
/// is packed there for each product: for matrices so narrow that packed they take several times their own memory.
WeightPtr trainable_weight(const Tensor& master, std::shared_ptr<PackedMemory> memory = nullptr);
WeightPtr frozen_weight(const Tensor& values);

}  // namespace dsmoe::moe
