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

WeightPieces::Rows WeightPieces::rows_of(int64_t piece) const {
  const int64_t first = piece % pieces_ * rows_per_piece_;
  return {piece / pieces_, first, std::min(rows_per_piece_, (gate_up() ? n_ / 2 : n_) - first)};
}

std::array<WeightPieces::Range, 2> WeightPieces::ranges(int64_t piece) const {
  const Rows r = rows_of(piece);
  const auto range = [&](int64_t row) {
    const int64_t begin = (r.expert * n_ + row) * k_;
    return Range{begin, begin + r.count * k_};
  };
  return {range(r.first), gate_up() ? range(n_ / 2 + r.first) : Range{}};
}

void WeightPieces::fit(torch::ScalarType type, PackedWeight& packed) const {
  const auto fit_one = [&](Tensor& memory, int64_t numbers) {
    if (!memory.defined() || memory.scalar_type() != type || memory.sizes() != torch::IntArrayRef{experts_, numbers}) {
      memory = torch::empty({experts_, numbers}, torch::dtype(type));
    }
  };
  const int64_t columns = gate_up() ? (n_ / 2 + 15) / 16 * 32 : n_;  // of interleaved panels
  fit_one(packed.forward, packed_numbers(k_, columns));
  fit_one(packed.backward, packed_numbers(n_, k_));
}

void WeightPieces::pack(int64_t piece, const Tensor& values, const PackedWeight& packed) const {
  const Rows r = rows_of(piece);
  const auto from = number_of(values.scalar_type()), to = number_of(packed.forward.scalar_type());
  const int64_t from_bytes = values.element_size(), to_bytes = packed.forward.element_size();
  const char* matrix = static_cast<const char*>(values.data_ptr()) + r.expert * n_ * k_ * from_bytes;
  char* forward = static_cast<char*>(packed.forward.data_ptr()) + r.expert * packed.forward.stride(0) * to_bytes;
  char* backward = static_cast<char*>(packed.backward.data_ptr()) + r.expert * packed.backward.stride(0) * to_bytes;

  if (gate_up()) {
    std::vector<int32_t> rows;  // of both halves
    for (int64_t half = 0; half < 2; ++half) {
      for (int64_t i = 0; i < r.count; ++i) rows.push_back(static_cast<int32_t>(half * n_ / 2 + r.first + i));
    }
    kernels::pack_gate_up(from, {matrix, k_, rows.data()}, k_, r.count, to,
                          forward + packed_numbers(k_, 2 * r.first) * to_bytes);
  } else {
    kernels::pack_right(from, {matrix + r.first * k_ * from_bytes, k_}, Along::kOutput, k_, r.count, to,
                        forward + packed_numbers(k_, r.first) * to_bytes);
  }

  // Rows are depth here: a strip of every panel.
  const auto strip = [&](int64_t first, int64_t count) {
    for (int64_t column = 0; column < k_; column += kPanel) {
      kernels::pack_right(from, {matrix + (first * k_ + column) * from_bytes, k_}, Along::kDepth, count,
                          std::min(kPanel, k_ - column), to,
                          backward + (packed_numbers(n_, column) + first * kPanel) * to_bytes);
    }
  };
  if (gate_up() && r.count < n_ / 2) {
    strip(r.first, r.count);
    strip(n_ / 2 + r.first, r.count);
  } else {
    strip(r.first, gate_up() ? n_ : r.count);
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
