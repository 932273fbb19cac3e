// Weights as kernels/panels.h wants them on the right: packed once per update, for y = x W^T and for dx = dy W.
//
// A weight is cut into pieces, each the rows of one panel of the forward layout, which lie anywhere from one to two
// runs of the master's memory. So an optimiser can update a piece and pack it again while it is in the core's cache.
#pragma once

#include <torch/types.h>

#include <array>
#include <functional>
#include <span>
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

/// Some of a stack's matrices, or a part of one, packed in one layout, that are in memory together.
class PackedPlaces {
 public:
  /// `columns` of the product that they are the right side of, from `first_column` on.
  PackedPlaces(int64_t experts, int64_t first_column, int64_t columns)
      : places_(static_cast<size_t>(experts), nullptr), first_column_(first_column), columns_(columns) {}
  int64_t first_column() const { return first_column_; }
  int64_t columns() const { return columns_; }
  void set(int64_t e, const void* values) { places_[static_cast<size_t>(e)] = values; }
  /// Of expert e; null where it is not among them.
  const void* of(int64_t e) const { return places_[static_cast<size_t>(e)]; }

 private:
  std::vector<const void*> places_;
  int64_t first_column_, columns_;
};

class WeightPieces {
 public:
  /// sizes [N, K] or [E, N, K].
  WeightPieces(const std::vector<int64_t>& sizes, WeightRows rows);

  int64_t count() const { return experts_ * pieces_; }
  int64_t count_of_one() const { return pieces_; }  ///< of one matrix
  int64_t rows() const { return n_; }
  int64_t columns() const { return k_; }
  int64_t rows_per_piece() const { return rows_per_piece_; }
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

/// Memory for packed values that weights of a model take turns in, as large as the largest that was asked for at once.
class PackedMemory {
 public:
  /// `together`: bytes that are packed before they are multiplied, few enough to be in a shared cache then.
  explicit PackedMemory(int64_t together = int64_t{32} << 20) : together_(together) {}
  int64_t together() const { return together_; }
  /// At least `bytes`, aligned for kernels; what was there is gone.
  void* of(int64_t bytes);

 private:
  int64_t together_;
  Tensor memory_;
};

/// What is packed in turns: some pieces of a matrix, and of their rows some columns.
struct PackedPart {
  int64_t first_piece, pieces;
  int64_t first_column, columns;
};

/// Weight::each_packed for those that keep nothing. With `divides` a matrix of outputs that is large alone goes in
/// parts: in the forward layout some of its pieces, in the other some of its columns. pack_piece writes a piece of a
/// matrix into the layout of the part that begins at `memory`, from several threads at once.
struct PackedInTurns {
  const WeightPieces& pieces;
  int64_t experts;
  torch::ScalarType type;
  Layout layout;
  bool divides;
  PackedMemory& memory;
  std::function<void(int64_t expert, int64_t piece, const PackedPart& part, void* memory)> pack_piece;

  void run(std::span<const int64_t> places, const std::function<void(const PackedPlaces&)>& work) const;

 private:
  std::vector<PackedPart> parts() const;
  int64_t bytes_of(const PackedPart& part) const;
  void run(std::span<const int64_t> places, const PackedPart& part,
           const std::function<void(const PackedPlaces&)>& work) const;
};

/// Packs all of a weight [N, K] or [E, N, K].
void pack_weight(const Tensor& values, torch::ScalarType type, WeightRows rows, PackedWeight& packed);

/// The kernels' name for a tensor's type: bf16 or float32.
kernels::Number number_of(torch::ScalarType type);

}  // namespace dsmoe::moe
