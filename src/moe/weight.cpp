#include "moe/weight.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "base/error.h"

namespace dsmoe::moe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Forward: hands out a copy that exists already. Backward: the gradient in the master's type.
struct CachedCast : torch::autograd::Function<CachedCast> {
  static Tensor forward(AutogradContext* context, const Tensor& master, const Tensor& copy) {
    context->saved_data["type"] = static_cast<int64_t>(master.scalar_type());
    return copy.detach();
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto type = static_cast<torch::ScalarType>(context->saved_data["type"].toInt());
    return {gradients[0].to(type), Tensor()};
  }
};

class TrainableWeight : public Weight {
 public:
  explicit TrainableWeight(const Tensor& master) : master_(master) {
    DSMOE_CHECK(master.is_leaf() && master.requires_grad(), "a trainable weight is a leaf");
  }
  std::vector<int64_t> sizes() const override { return master_.sizes().vec(); }
  torch::ScalarType type() const override { return master_.scalar_type(); }
  Tensor trainable() const override { return master_; }

  Tensor get(torch::ScalarType type) const override {
    if (type == master_.scalar_type()) return master_;
    refresh(type);
    return CachedCast::apply(master_, copy_);
  }

  PackedWeight packed(torch::ScalarType type, WeightRows rows) const override {
    const auto version = static_cast<int64_t>(master_._version());
    if (version != packed_version_ || packed_.forward.scalar_type() != type) {
      pack_weight(master_.detach(), type, rows, packed_);
      packed_version_ = version;
      pieces_.emplace(master_.sizes().vec(), rows);
    }
    return packed_;
  }
  const WeightPieces* pieces() const override { return pieces_ ? &*pieces_ : nullptr; }
  void pack_again(int64_t piece) const override { pieces_->pack(piece, master_, packed_); }
  void packed_again() const override { packed_version_ = static_cast<int64_t>(master_._version()); }

  Tensor gradient_sink() const override {
    const Tensor& sink = master_.grad();
    return sink.defined() && sink.scalar_type() == torch::kFloat && sink.is_contiguous() ? sink : Tensor();
  }

 private:
  /// The copy follows the master's version counter, so in-place updates are seen and nobody has to announce them.
  void refresh(torch::ScalarType type) const {
    const torch::NoGradGuard no_grad;
    const auto version = static_cast<int64_t>(master_._version());
    if (copy_.defined() && copy_.scalar_type() == type) {
      if (version != copied_version_) copy_.copy_(master_.detach());
    } else {
      copy_ = master_.detach().to(type);
    }
    copied_version_ = version;
  }

  Tensor master_;
  mutable Tensor copy_;
  mutable int64_t copied_version_ = -1;
  mutable PackedWeight packed_;
  mutable int64_t packed_version_ = -1;
  mutable std::optional<WeightPieces> pieces_;
};

/// Keeps nothing packed.
class RepackedWeight final : public TrainableWeight {
 public:
  RepackedWeight(const Tensor& master, std::shared_ptr<PackedMemory> memory)
      : TrainableWeight(master), memory_(std::move(memory)) {}
  bool keeps_packed() const override { return false; }
  PackedWeight packed(torch::ScalarType, WeightRows) const override { DSMOE_CHECK(false, "nothing packed is kept"); }

  void each_packed(torch::ScalarType type, WeightRows rows, Layout layout, std::span<const int64_t> places,
                   const std::function<void(const PackedPlaces&)>& work) const override {
    const Tensor values = trainable().detach();
    const std::vector<int64_t> shape = sizes();
    const WeightPieces pieces(shape, rows);
    const int64_t matrix_numbers = shape[shape.size() - 2] * shape.back();
    PackedInTurns{pieces,
                  shape.size() > 2 ? shape[0] : 1,
                  type,
                  layout,
                  false,
                  *memory_,
                  [&](int64_t expert, int64_t piece, const PackedPart&, void* matrix) {
                    const WeightPieces::Rows r = pieces.rows_of(piece);
                    const float* from = values.data_ptr<float>() + expert * matrix_numbers;
                    pieces.pack(piece, {kernels::Number::kF32, from, r.first, r.second}, number_of(type),
                                layout == Layout::kForward ? matrix : nullptr,
                                layout == Layout::kBackward ? matrix : nullptr);
                  }}
        .run(places, work);
  }

 private:
  std::shared_ptr<PackedMemory> memory_;
};

class FrozenWeight final : public Weight {
 public:
  explicit FrozenWeight(const Tensor& values) : values_(values.detach()) {}
  std::vector<int64_t> sizes() const override { return values_.sizes().vec(); }
  torch::ScalarType type() const override { return values_.scalar_type(); }
  Tensor trainable() const override { return {}; }
  Tensor get(torch::ScalarType type) const override { return values_.to(type); }
  PackedWeight packed(torch::ScalarType type, WeightRows rows) const override {
    const auto version = static_cast<int64_t>(values_._version());  // loading writes through views
    if (version != packed_version_ || packed_.forward.scalar_type() != type) pack_weight(values_, type, rows, packed_);
    packed_version_ = version;
    return packed_;
  }

 private:
  Tensor values_;
  mutable PackedWeight packed_;
  mutable int64_t packed_version_ = -1;
};

}  // namespace

Tensor Weight::rows_at(const Tensor& index_T, torch::ScalarType type) const {
  return torch::embedding(get(this->type()), index_T).to(type);
}

void Weight::each_packed(torch::ScalarType type, WeightRows rows, Layout layout, std::span<const int64_t> /*places*/,
                         const std::function<void(const PackedPlaces&)>& work) const {
  const PackedWeight all = packed(type, rows);
  const std::vector<int64_t> shape = sizes();
  PackedPlaces places(all.forward.size(0), 0, layout == Layout::kForward ? shape[shape.size() - 2] : shape.back());
  for (int64_t e = 0; e < all.forward.size(0); ++e) {
    places.set(e, layout == Layout::kForward ? all.forward_of(e) : all.backward_of(e));
  }
  work(places);
}

WeightPtr trainable_weight(const Tensor& master, std::shared_ptr<PackedMemory> memory) {
  if (memory) return std::make_shared<RepackedWeight>(master, std::move(memory));
  return std::make_shared<TrainableWeight>(master);
}
WeightPtr frozen_weight(const Tensor& values) { return std::make_shared<FrozenWeight>(values); }

}  // namespace dsmoe::moe
