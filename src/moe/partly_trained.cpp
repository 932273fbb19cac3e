#include "moe/partly_trained.h"

#include "base/error.h"
#include "base/part_clock.h"
#include "moe/parallel.h"

namespace dsmoe::moe {
namespace {

/// Packs the matrices of `experts` again into their places.
void pack_some(const Tensor& stack, const std::vector<int64_t>& experts, WeightRows rows, const PackedWeight& packed) {
  const base::Part part("packing weights");
  const torch::NoGradGuard no_grad;
  const WeightPieces pieces(stack.sizes().vec(), rows);
  const int64_t each = pieces.count() / stack.size(0);  // of one expert
  constexpr int64_t kPiecesPerChunk = 8;
  torch_parallel_for()(each * std::ssize(experts), kPiecesPerChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      pieces.pack(experts[static_cast<size_t>(i / each)] * each + i % each, stack, packed);
    }
  });
}

}  // namespace

PartlyTrained::PartlyTrained(const Tensor& stack, std::vector<int64_t> experts)
    : stack_(stack.detach()), experts_(std::move(experts)) {
  DSMOE_CHECK(!stack.requires_grad() && stack.dim() == 3 && !experts_.empty(), "a stack that stays, and some of it");
  for (const int64_t e : experts_) {
    leaves_.push_back(stack_.select(0, e).variable_data().requires_grad_());  // the same memory, a version of its own
  }
}

Tensor PartlyTrained::get(torch::ScalarType type) const {
  return stack_.index_copy(0, torch::tensor(experts_, torch::kInt64), torch::stack(leaves_)).to(type);
}

PackedWeight PartlyTrained::packed(torch::ScalarType type, WeightRows rows) const {
  std::vector<int64_t> versions, changed;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    versions.push_back(static_cast<int64_t>(leaves_[i]._version()));
    if (leaf_versions_.empty() || versions[i] != leaf_versions_[i]) changed.push_back(experts_[i]);
  }
  const auto version = static_cast<int64_t>(stack_._version());
  if (version != packed_version_ || packed_.forward.scalar_type() != type) {
    pack_weight(stack_, type, rows, packed_);
  } else if (!changed.empty()) {
    pack_some(stack_, changed, rows, packed_);
  }
  packed_version_ = version;
  leaf_versions_ = std::move(versions);
  return packed_;
}

std::vector<float*> PartlyTrained::gradients() const {
  std::vector<float*> sinks(static_cast<size_t>(stack_.size(0)), nullptr);
  for (size_t i = 0; i < leaves_.size(); ++i) {
    Tensor& gradient = leaves_[i].mutable_grad();
    if (!gradient.defined()) gradient = torch::zeros_like(leaves_[i]);
    sinks[static_cast<size_t>(experts_[i])] = gradient.data_ptr<float>();
  }
  return sinks;
}

}  // namespace dsmoe::moe
