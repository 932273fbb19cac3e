#include "moe/packed_weight.h"

#include <algorithm>

#include "base/error.h"
#include "base/part_clock.h"
#include "moe/parallel.h"

namespace dsmoe::moe {

using kernels::Along;
using kernels::kPanel;
using kernels::packed_numbers;

kernels::Number number_of(torch::ScalarType type) {
  DSMOE_CHECK(type == torch::kBFloat16 || type == torch::kFloat, "kernels compute in bf16 or float32");
  return type == torch::kFloat ? kernels::Number::kF32 : kernels::Number::kBf16;
}

WeightPieces::WeightPieces(const std::vector<int64_t>& sizes, WeightRows rows)
    : rows_(rows),
      experts_(sizes.size() > 2 ? sizes[0] : 1),
      n_(sizes[sizes.size() - 2]),
      k_(sizes.back()),
      rows_per_piece_(gate_up() ? kPanel / 2 : kPanel) {
  // With an odd width a pair of the backward layout holds the last gate and the first up: such a weight is one piece.
  if (gate_up() && n_ / 2 % 2 != 0) rows_per_piece_ = n_ / 2;
  const int64_t rows_to_cut = gate_up() ? n_ / 2 : n_;
  pieces_ = (rows_to_cut + rows_per_piece_ - 1) / rows_per_piece_;
}

int64_t WeightPieces::forward_numbers() const {
  return packed_numbers(k_, gate_up() ? (n_ / 2 + 15) / 16 * 32 : n_);  // gates and ups in interleaved panels
}
int64_t WeightPieces::backward_numbers() const { return packed_numbers(n_, k_); }

WeightPieces::Rows WeightPieces::rows_of(int64_t piece) const {
  const int64_t first = piece % pieces_ * rows_per_piece_;
  return {piece / pieces_, first, n_ / 2 + first, std::min(rows_per_piece_, (gate_up() ? n_ / 2 : n_) - first)};
}

std::array<WeightPieces::Range, 2> WeightPieces::ranges(int64_t piece) const {
  const Rows r = rows_of(piece);
  const auto range = [&](int64_t row) {
    const int64_t begin = (r.expert * n_ + row) * k_;
    return Range{begin, begin + r.count * k_};
  };
  return {range(r.first), gate_up() ? range(r.second) : Range{}};
}

void WeightPieces::fit(torch::ScalarType type, PackedWeight& packed) const {
  const auto fit_one = [&](Tensor& memory, int64_t numbers) {
    if (!memory.defined() || memory.scalar_type() != type || memory.sizes() != torch::IntArrayRef{experts_, numbers}) {
      memory = torch::empty({experts_, numbers}, torch::dtype(type));
    }
  };
  fit_one(packed.forward, forward_numbers());
  fit_one(packed.backward, backward_numbers());
}

void WeightPieces::pack(int64_t piece, const Tensor& values, const PackedWeight& packed) const {
  const Rows r = rows_of(piece);
  const char* matrix = static_cast<const char*>(values.data_ptr()) + r.expert * n_ * k_ * values.element_size();
  const auto of = [&](const Tensor& layout) {
    return static_cast<char*>(layout.data_ptr()) + r.expert * layout.stride(0) * layout.element_size();
  };
  pack(piece, {number_of(values.scalar_type()), matrix, r.first, r.second}, number_of(packed.forward.scalar_type()),
       of(packed.forward), of(packed.backward));
}

void WeightPieces::pack(int64_t piece, const PieceRows& from, kernels::Number to, void* forward, void* backward) const {
  const Rows r = rows_of(piece);
  const int64_t from_bytes = kernels::number_bytes(from.type), to_bytes = kernels::number_bytes(to);
  const char* matrix = static_cast<const char*>(from.matrix);

  if (forward && gate_up()) {
    std::vector<int32_t> rows;  // of both halves
    for (const int64_t begin : {from.first, from.second}) {
      for (int64_t i = 0; i < r.count; ++i) rows.push_back(static_cast<int32_t>(begin + i));
    }
    kernels::pack_gate_up(from.type, {matrix, k_, rows.data()}, k_, r.count, to,
                          static_cast<char*>(forward) + packed_numbers(k_, 2 * r.first) * to_bytes);
  } else if (forward) {
    kernels::pack_right(from.type, {matrix + from.first * k_ * from_bytes, k_}, Along::kOutput, k_, r.count, to,
                        static_cast<char*>(forward) + packed_numbers(k_, r.first) * to_bytes);
  }
  if (!backward) return;

  // Rows are depth here: `count` of them, which lie from row `at` on, are a strip of every panel.
  const auto strip = [&](int64_t at, int64_t first, int64_t count) {
    for (int64_t column = 0; column < k_; column += kPanel) {
      kernels::pack_right(from.type, {matrix + (at * k_ + column) * from_bytes, k_}, Along::kDepth, count,
                          std::min(kPanel, k_ - column), to,
                          static_cast<char*>(backward) + (packed_numbers(n_, column) + first * kPanel) * to_bytes);
    }
  };
  if (gate_up() && r.count < n_ / 2) {
    strip(from.first, r.first, r.count);
    strip(from.second, r.second, r.count);
  } else {
    strip(from.first, r.first, gate_up() ? n_ : r.count);
  }
}

void pack_weight(const Tensor& values, torch::ScalarType type, WeightRows rows, PackedWeight& packed) {
  const base::Part part("packing weights");
  const torch::NoGradGuard no_grad;
  const Tensor contiguous = values.contiguous();
  const WeightPieces pieces(contiguous.sizes().vec(), rows);
  pieces.fit(type, packed);
  constexpr int64_t kPiecesPerChunk = 8;
  torch_parallel_for()(pieces.count(), kPiecesPerChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pieces.pack(i, contiguous, packed);
  });
}

}  // namespace dsmoe::moe
