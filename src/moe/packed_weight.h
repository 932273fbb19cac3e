// Weights as kernels/panels.h wants them on the right: packed once per update, for y = x W^T and for dx = dy W.
//
// A weight is cut into pieces, each the rows of one panel of the forward layout, which lie anywhere from one to two
// runs of the master's memory. So an optimiser can update a piece and pack it again while it is in the core's cache.
#pragma once

#include <torch/types.h>

#include <array>
#include <vector>

#include "kernels/panels.h"

namespace dsmoe::moe {

using torch::Tensor;

/// What a weight's rows are: outputs of a linear layer, or gates and then ups of a SwiGLU.
enum class WeightRows { kOutputs, kGateUp };

/// Both layouts, one row of a tensor for each of E stacked weights.
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

/// Rows of a matrix in memory, for packing: from `first` on, and of gates and ups the ups from `second` on.
struct PieceRows {
  kernels::Number type;
  const void* matrix;  ///< the rows are K numbers each
  int64_t first, second;
};

/// A weight's two products: y = x W^T, and dx = dy W.
enum class Layout { kForward, kBackward };

/// Some of a stack's matrices, packed in one layout, that are in memory together.
class PackedPlaces {
 public:
  explicit PackedPlaces(int64_t experts) : places_(static_cast<size_t>(experts), nullptr) {}
  void set(int64_t e, const void* values) { places_[static_cast<size_t>(e)] = values; }
  /// Of expert e; null where it is not among them.
  const void* of(int64_t e) const { return places_[static_cast<size_t>(e)]; }

 private:
  std::vector<const void*> places_;
};

class WeightPieces {
 public:
  /// sizes [N, K] or [E, N, K].
  WeightPieces(const std::vector<int64_t>& sizes, WeightRows rows);

  int64_t count() const { return experts_ * pieces_; }
  int64_t count_of_one() const { return pieces_; }  ///< of one matrix
  /// Numbers that one matrix takes in either layout.
  int64_t forward_numbers() const;
  int64_t backward_numbers() const;
  /// The rows of a piece: `count` from `first` on, and of gates and ups as many from `second` on.
  struct Rows {
    int64_t expert, first, second, count;
  };
  Rows rows_of(int64_t piece) const;
  /// Elements of the master.
  struct Range {
    int64_t begin = 0, end = 0;
  };
  /// The runs of a piece; the second is empty but for gates and ups.
  std::array<Range, 2> ranges(int64_t piece) const;
  /// Makes room for both layouts in `type`; memory that fits is used again.
  void fit(torch::ScalarType type, PackedWeight& packed) const;
  /// Packs a piece of `values` (contiguous, float32 or bf16) into its place.
  void pack(int64_t piece, const Tensor& values, const PackedWeight& packed) const;
  /// Packs a piece whose rows lie anywhere into its place in either layout of its matrix; null: not into that one.
  void pack(int64_t piece, const PieceRows& from, kernels::Number to, void* forward, void* backward) const;
  bool gate_up() const { return rows_ == WeightRows::kGateUp; }

 private:
  WeightRows rows_;
  int64_t experts_, n_, k_;
  int64_t rows_per_piece_, pieces_;
};

/// Packs all of a weight [N, K] or [E, N, K].
void pack_weight(const Tensor& values, torch::ScalarType type, WeightRows rows, PackedWeight& packed);

/// The kernels' name for a tensor's type: bf16 or float32.
kernels::Number number_of(torch::ScalarType type);

}  // namespace dsmoe::moe
