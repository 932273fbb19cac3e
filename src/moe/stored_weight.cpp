#include "moe/stored_weight.h"

#include <algorithm>

#include "base/error.h"
#include "base/part_clock.h"
#include "kernels/product.h"
#include "moe/parallel.h"

namespace dsmoe::moe {
namespace {

// What is packed together when a stack is walked: small enough to be in a shared cache when it is multiplied.
constexpr int64_t kBytesTogether = int64_t{32} << 20;
constexpr int64_t kAlignment = 64;
constexpr int64_t kPiecesPerChunk = 4;
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
    const int64_t numbers = layout == Layout::kForward ? pieces.forward_numbers() : pieces.backward_numbers();
    const int64_t bytes = (numbers * kernels::number_bytes(number_of(type)) + kAlignment - 1) / kAlignment * kAlignment;
    const auto together = static_cast<size_t>(std::max<int64_t>(1, kBytesTogether / bytes));
    for (size_t begin = 0; begin < places.size(); begin += together) {
      const auto some = places.subspan(begin, std::min(together, places.size() - begin));
      auto* memory = static_cast<char*>(memory_->of(bytes * std::ssize(some)));
      PackedPlaces packed(std::ssize(experts_));
      for (size_t i = 0; i < some.size(); ++i) packed.set(some[i], memory + static_cast<int64_t>(i) * bytes);
      pack(some, pieces, number_of(type), layout, memory, bytes);
      work(packed);
    }
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

  /// Every piece of the matrices `places`, each matrix into `bytes` of memory.
  void pack(std::span<const int64_t> places, const WeightPieces& pieces, kernels::Number to, Layout layout,
            char* memory, int64_t bytes) const {
    const base::Part part("expanding stored weights");
    const int64_t each = pieces.count_of_one();
    torch_parallel_for()(each * std::ssize(places), kPiecesPerChunk, [&](int64_t begin, int64_t end) {
      std::vector<float> values;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t expert = places[static_cast<size_t>(i / each)];
        const WeightPieces::Rows rows = pieces.rows_of(i % each);
        values.resize(static_cast<size_t>((pieces.gate_up() ? 2 : 1) * rows.count * width()));
        read_rows(expert, rows.first, rows.count, values.data());
        if (pieces.gate_up()) read_rows(expert, rows.second, rows.count, values.data() + rows.count * width());
        char* own = memory + i / each * bytes;
        pieces.pack(i % each, {kernels::Number::kF32, values.data(), 0, rows.count}, to,
                    layout == Layout::kForward ? own : nullptr, layout == Layout::kBackward ? own : nullptr);
      }
    });
  }

  std::vector<int64_t> sizes_;
  std::vector<std::vector<StoredMatrix>> experts_;
  torch::ScalarType type_;
  std::shared_ptr<PackedMemory> memory_;
};

}  // namespace

void* PackedMemory::of(int64_t bytes) {
  if (!memory_.defined() || memory_.numel() < bytes) {
    memory_ = Tensor();  // never both
    memory_ = torch::empty({bytes}, torch::kByte);
  }
  return memory_.data_ptr();
}

WeightPtr stored_weight(std::vector<int64_t> sizes, std::vector<std::vector<StoredMatrix>> experts,
                        torch::ScalarType type, std::shared_ptr<PackedMemory> memory) {
  return std::make_shared<StoredWeight>(std::move(sizes), std::move(experts), type, std::move(memory));
}

}  // namespace dsmoe::moe
