#include "moe/adapter.h"

#include "base/error.h"

namespace dsmoe::moe {
namespace {

class AdaptedWeight final : public Weight {
 public:
  AdaptedWeight(const WeightPtr& base, std::vector<AdapterPart> parts) : base_(base), parts_(std::move(parts)) {
    DSMOE_CHECK(!base->trainable().defined(), "what adapters stand beside is frozen");
  }
  std::vector<int64_t> sizes() const override { return base_->sizes(); }
  torch::ScalarType type() const override { return base_->type(); }
  Tensor trainable() const override { return {}; }
  const std::vector<AdapterPart>* adapters() const override { return &parts_; }
  bool keeps_packed() const override { return base_->keeps_packed(); }
  PackedWeight packed(torch::ScalarType type, WeightRows rows) const override { return base_->packed(type, rows); }
  void each_packed(torch::ScalarType type, WeightRows rows, Layout layout, std::span<const int64_t> places,
                   const std::function<void(const PackedPlaces&)>& work) const override {
    base_->each_packed(type, rows, layout, places, work);
  }

  Tensor get(torch::ScalarType type) const override {
    const auto own = base_->type();
    const Tensor merged = base_->get(own).clone();
    for (const AdapterPart& part : parts_) {
      const Tensor delta = torch::matmul(part.b->get(own), part.a->get(own)) * part.scale;
      const Tensor rows = merged.narrow(-2, part.first_row, delta.size(-2));
      if (part.experts.empty()) {
        rows.add_(delta);
      } else {
        rows.index_add_(0, torch::tensor(part.experts, torch::kInt64), delta);
      }
    }
    return merged.to(type);
  }

 private:
  WeightPtr base_;
  std::vector<AdapterPart> parts_;
};

/// The rows of those experts that a part is for.
std::vector<RowGroup> groups_of(const AdapterPart& part, const std::vector<RowGroup>& groups) {
  if (part.experts.empty()) return groups;
  std::vector<RowGroup> own;
  for (const int64_t expert : part.experts) {
    const RowGroup& group = groups[static_cast<size_t>(expert)];
    own.push_back({group.begin, group.count, static_cast<int64_t>(own.size())});
  }
  return own;
}

}  // namespace

WeightPtr adapted_weight(const WeightPtr& base, std::vector<AdapterPart> parts) {
  return std::make_shared<AdaptedWeight>(base, std::move(parts));
}

Tensor with_adapters(const Tensor& x_TK, const Weight& weight, const std::vector<RowGroup>& groups,
                     const Tensor& add_TN) {
  if (!weight.adapters()) return add_TN;
  const int64_t outputs = weight.sizes()[weight.sizes().size() - 2];
  std::vector<Tensor> columns;
  int64_t done = 0;
  const auto zeros_until = [&](int64_t row) {
    if (row > done) columns.push_back(torch::zeros({x_TK.size(0), row - done}, x_TK.options()));
    done = row;
  };
  for (const AdapterPart& part : *weight.adapters()) {
    zeros_until(part.first_row);
    const std::vector<RowGroup> own = groups_of(part, groups);
    const Tensor narrow = grouped_linear(x_TK, part.a, own) * part.scale;
    columns.push_back(grouped_linear(narrow, part.b, own));
    done += columns.back().size(1);
  }
  zeros_until(outputs);
  const Tensor sum_TN = columns.size() == 1 ? columns[0] : torch::cat(columns, 1);
  return add_TN.defined() ? sum_TN + add_TN : sum_TN;
}

}  // namespace dsmoe::moe
