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

void* PackedMemory::of(int64_t bytes) {
  if (!memory_.defined() || memory_.numel() < bytes) {
    memory_ = Tensor();  // never both
    memory_ = torch::empty({bytes}, torch::kByte);
  }
  return memory_.data_ptr();
}

namespace {
constexpr int64_t kColumnsTogether = 256;  // whole blocks of every type
}  // namespace

int64_t PackedInTurns::bytes_of(const PackedPart& part) const {
  constexpr int64_t kAlignment = 64;
  int64_t numbers = packed_numbers(pieces.rows(), part.columns);
  if (layout == Layout::kForward) {
    numbers = part.pieces == pieces.count_of_one()
                  ? pieces.forward_numbers()
                  : packed_numbers(part.columns, part.pieces * pieces.rows_per_piece());
  }
  return (numbers * kernels::number_bytes(number_of(type)) + kAlignment - 1) / kAlignment * kAlignment;
}

std::vector<PackedPart> PackedInTurns::parts() const {
  const PackedPart whole{0, pieces.count_of_one(), 0, pieces.columns()};
  if (!divides || pieces.gate_up() || bytes_of(whole) <= 2 * memory.together()) return {whole};
  std::vector<PackedPart> parts;
  const bool forward = layout == Layout::kForward;
  const int64_t all = forward ? whole.pieces : (whole.columns + kColumnsTogether - 1) / kColumnsTogether;
  const int64_t each = std::max<int64_t>(1, all * memory.together() / bytes_of(whole));
  for (int64_t i = 0; i < all; i += each) {
    const int64_t count = std::min(each, all - i), column = i * kColumnsTogether;
    parts.push_back(
        forward ? PackedPart{i, count, 0, whole.columns}
                : PackedPart{0, whole.pieces, column, std::min(count * kColumnsTogether, whole.columns - column)});
  }
  return parts;
}

void PackedInTurns::run(std::span<const int64_t> places, const std::function<void(const PackedPlaces&)>& work) const {
  for (const PackedPart& part : parts()) run(places, part, work);
}

void PackedInTurns::run(std::span<const int64_t> places, const PackedPart& part,
                        const std::function<void(const PackedPlaces&)>& work) const {
  constexpr int64_t kPiecesPerChunk = 4;
  const int64_t bytes = bytes_of(part);
  const auto together = static_cast<size_t>(std::max<int64_t>(1, memory.together() / bytes));
  const bool all_rows = part.pieces == pieces.count_of_one();
  const int64_t row = part.first_piece * pieces.rows_per_piece();
  const int64_t rows = all_rows ? pieces.rows() : std::min(part.pieces * pieces.rows_per_piece(), pieces.rows() - row);
  const bool forward = layout == Layout::kForward;
  for (size_t begin = 0; begin < places.size(); begin += together) {
    const auto some = places.subspan(begin, std::min(together, places.size() - begin));
    auto* first = static_cast<char*>(memory.of(bytes * std::ssize(some)));
    PackedPlaces packed(experts, forward ? row : part.first_column, forward ? rows : part.columns);
    for (size_t i = 0; i < some.size(); ++i) packed.set(some[i], first + static_cast<int64_t>(i) * bytes);
    {
      const base::Part clock("packing weights");
      torch_parallel_for()(part.pieces * std::ssize(some), kPiecesPerChunk, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) {
          pack_piece(some[static_cast<size_t>(i / part.pieces)], part.first_piece + i % part.pieces, part,
                     first + i / part.pieces * bytes);
        }
      });
    }
    work(packed);
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
