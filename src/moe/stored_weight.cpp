#include "moe/stored_weight.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "kernels/product.h"
#include "kernels/stored_panels.h"
#include "moe/parallel.h"

namespace dsmoe::moe {
namespace {

constexpr int64_t kRowsPerChunk = 16;

class StoredWeight final : public Weight {
 public:
  StoredWeight(std::vector<int64_t> sizes, std::vector<std::vector<StoredMatrix>> experts, torch::ScalarType type,
               std::shared_ptr<PackedMemory> memory)
      : sizes_(std::move(sizes)), experts_(std::move(experts)), type_(type), memory_(std::move(memory)) {
    DSMOE_CHECK(std::ssize(experts_) == (sizes_.size() > 2 ? sizes_[0] : 1), "as many experts as the shape says");
    for (const auto& matrices : experts_) {
      int64_t rows = 0;
      for (const StoredMatrix& m : matrices) {
        DSMOE_CHECK(m.values.cols == sizes_.back(), "matrices above each other are equally wide");
        DSMOE_CHECK(m.order.empty() || std::ssize(m.order) == m.values.rows, "an order has every row");
        rows += m.values.rows;
      }
      DSMOE_CHECK(rows == outputs(), "matrices above each other have the weight's rows");
    }
  }

  std::vector<int64_t> sizes() const override { return sizes_; }
  torch::ScalarType type() const override { return type_; }
  Tensor trainable() const override { return {}; }
  bool keeps_packed() const override { return false; }
  PackedWeight packed(torch::ScalarType, WeightRows) const override { DSMOE_CHECK(false, "nothing packed is kept"); }

  Tensor get(torch::ScalarType type) const override {
    const Tensor values = torch::empty(sizes_, torch::kFloat);
    auto* out = values.data_ptr<float>();
    const int64_t rows = outputs(), all = rows * std::ssize(experts_);
    torch_parallel_for()(all, kRowsPerChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) read_rows(i / rows, i % rows, 1, out + i * width());
    });
    return values.to(type);
  }

  Tensor rows_at(const Tensor& index_T, torch::ScalarType type) const override {
    const Tensor index = index_T.contiguous(), values = torch::empty({index.numel(), width()}, torch::kFloat);
    const auto* rows = index.data_ptr<int64_t>();
    auto* out = values.data_ptr<float>();
    torch_parallel_for()(index.numel(), kRowsPerChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) read_rows(0, rows[i], 1, out + i * width());
    });
    return values.to(type);
  }

  void each_packed(torch::ScalarType type, WeightRows rows, Layout layout, std::span<const int64_t> places,
                   const std::function<void(const PackedPlaces&)>& work) const override {
    const WeightPieces pieces(sizes_, rows);
    const kernels::Number to = number_of(type);
    PackedInTurns{pieces,
                  std::ssize(experts_),
                  type,
                  layout,
                  divides(),
                  *memory_,
                  [&](int64_t expert, int64_t piece, const PackedPart& part, void* memory) {
                    pack_piece(expert, pieces, piece, part, to, layout, static_cast<char*>(memory));
                  }}
        .run(places, work);
  }

 private:
  int64_t outputs() const { return sizes_[sizes_.size() - 2]; }
  int64_t width() const { return sizes_.back(); }

  /// Rows first .. first + count of a matrix of the stack, as float32.
  void read_rows(int64_t expert, int64_t first, int64_t count, float* out) const {
    int64_t begin = 0;  // of the matrix at hand
    for (const StoredMatrix& m : experts_[static_cast<size_t>(expert)]) {
      for (int64_t r = std::max(first, begin); r < std::min(first + count, begin + m.values.rows); ++r) {
        const int64_t row = m.order.empty() ? r - begin : m.order[static_cast<size_t>(r - begin)];
        kernels::weight_row(m.values, row, {out + (r - first) * width(), static_cast<size_t>(width())});
      }
      begin += m.values.rows;
    }
  }

  /// `count` rows of a matrix of the stack, from `first` on, as stored rows a step apart; none of them: they are not.
  kernels::RowsOfMatrix stored_rows(int64_t expert, int64_t first, int64_t count) const {
    for (const StoredMatrix& m : experts_[static_cast<size_t>(expert)]) {
      if (first >= m.values.rows) {
        first -= m.values.rows;
        continue;
      }
      if (first + count > m.values.rows) return {};
      if (m.order.empty()) return {m.values, first, 1, count};
      const auto row = [&](int64_t i) { return int64_t{m.order[static_cast<size_t>(first + i)]}; };
      const int64_t step = count > 1 ? row(1) - row(0) : 1;
      for (int64_t i = 1; i < count; ++i) {
        if (step < 1 || row(i) - row(i - 1) != step) return {};
      }
      return {m.values, row(0), step, count};
    }
    return {};
  }

  /// A piece into its place without a row between, where kernels can; false: they cannot.
  bool pack_as_stored(int64_t expert, const WeightPieces& pieces, const WeightPieces::Rows& rows,
                      const PackedPart& part, kernels::Number to, Layout layout, char* memory) const {
    if (!kernels::is_quantised(experts_[static_cast<size_t>(expert)][0].values.type)) return false;
    constexpr int64_t kLanes = 16;
    struct Group {
      kernels::RowsOfMatrix rows;
      int64_t first;  ///< of the weight's
    };
    std::array<Group, 2> groups;
    size_t count = 0;
    const auto add = [&](int64_t first, int64_t many) {
      groups[count++] = {stored_rows(expert, first, many), first};
      return groups[count - 1].rows.count > 0 && kernels::is_quantised(groups[count - 1].rows.matrix.type);
    };
    if (pieces.gate_up()) {
      if (rows.count > kLanes || rows.second % 2 != 0) return false;
      if (!add(rows.first, rows.count) || !add(rows.second, rows.count)) return false;
    } else {
      if (!add(rows.first, std::min(kLanes, rows.count))) return false;
      if (rows.count > kLanes && !add(rows.first + kLanes, rows.count - kLanes)) return false;
    }
    const int64_t row = rows.first - part.first_piece * pieces.rows_per_piece();  // within the part
    const int64_t panel = pieces.gate_up() ? 2 * row : row;  // the column that its panel begins with
    for (size_t i = 0; i < count; ++i) {
      if (layout == Layout::kForward) {
        char* out = memory + kernels::packed_numbers(width(), panel) * kernels::number_bytes(to);
        kernels::pack_stored_columns(groups[i].rows, to, out, static_cast<int64_t>(i) * kLanes);
      } else {
        kernels::pack_stored_depth(groups[i].rows, {part.first_column, part.first_column + part.columns}, to, memory,
                                   outputs(), groups[i].first);
      }
    }
    return count == 2 || layout == Layout::kBackward;
  }

  /// Whether every piece packs as stored, so that it may go in parts: one quantised matrix whose last piece has both
  /// halves of its panel.
  bool divides() const {
    const StoredMatrix& m = experts_[0][0];
    const int64_t rest = outputs() % kernels::kPanel;
    return experts_.size() == 1 && experts_[0].size() == 1 && m.order.empty() && is_quantised(m.values.type) &&
           (rest == 0 || rest > kernels::kPanel / 2);
  }

  void pack_piece(int64_t expert, const WeightPieces& pieces, int64_t piece, const PackedPart& part, kernels::Number to,
                  Layout layout, char* memory) const {
    const WeightPieces::Rows rows = pieces.rows_of(piece);
    if (pack_as_stored(expert, pieces, rows, part, to, layout, memory)) return;
    thread_local std::vector<float> values;
    values.resize(static_cast<size_t>((pieces.gate_up() ? 2 : 1) * rows.count * width()));
    read_rows(expert, rows.first, rows.count, values.data());
    if (pieces.gate_up()) read_rows(expert, rows.second, rows.count, values.data() + rows.count * width());
    pieces.pack(piece, {kernels::Number::kF32, values.data(), 0, rows.count}, to,
                layout == Layout::kForward ? memory : nullptr, layout == Layout::kBackward ? memory : nullptr);
  }

  std::vector<int64_t> sizes_;
  std::vector<std::vector<StoredMatrix>> experts_;
  torch::ScalarType type_;
  std::shared_ptr<PackedMemory> memory_;
};

}  // namespace

WeightPtr stored_weight(std::vector<int64_t> sizes, std::vector<std::vector<StoredMatrix>> experts,
                        torch::ScalarType type, std::shared_ptr<PackedMemory> memory) {
  return std::make_shared<StoredWeight>(std::move(sizes), std::move(experts), type, std::move(memory));
}

}  // namespace dsmoe::moe
