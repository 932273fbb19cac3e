#include "moe/weight.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "base/part_clock.h"
#include "moe/parallel.h"

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

class TrainableWeight final : public Weight {
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
    }
    return packed_;
  }

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
};

class FrozenWeight final : public Weight {
 public:
  explicit FrozenWeight(const Tensor& values) : values_(values.detach()) {}
  std::vector<int64_t> sizes() const override { return values_.sizes().vec(); }
  torch::ScalarType type() const override { return values_.scalar_type(); }
  Tensor trainable() const override { return {}; }
  Tensor get(torch::ScalarType type) const override { return values_.to(type); }
  PackedWeight packed(torch::ScalarType type, WeightRows rows) const override {
    if (!packed_.forward.defined() || packed_.forward.scalar_type() != type) pack_weight(values_, type, rows, packed_);
    return packed_;
  }

 private:
  Tensor values_;
  mutable PackedWeight packed_;
};

}  // namespace

kernels::Number number_of(torch::ScalarType type) {
  DSMOE_CHECK(type == torch::kBFloat16 || type == torch::kFloat, "kernels compute in bf16 or float32");
  return type == torch::kFloat ? kernels::Number::kF32 : kernels::Number::kBf16;
}

void pack_weight(const Tensor& values, torch::ScalarType type, WeightRows rows, PackedWeight& packed) {
  using kernels::Along;
  using kernels::kPanel;
  const base::Part part("packing weights");
  const torch::NoGradGuard no_grad;
  const Tensor from = values.contiguous();
  const int64_t n = from.size(-2), k = from.size(-1), experts = from.numel() / std::max<int64_t>(1, n * k);
  const bool gate_up = rows == WeightRows::kGateUp;
  const int64_t columns = gate_up ? (n / 2 + 15) / 16 * 32 : n;  // of the interleaved panels
  const int64_t forward_numbers = kernels::packed_numbers(k, columns), backward_numbers = kernels::packed_numbers(n, k);
  const auto fit = [&](Tensor& memory, int64_t numbers) {
    if (!memory.defined() || memory.scalar_type() != type || memory.sizes() != torch::IntArrayRef{experts, numbers}) {
      memory = torch::empty({experts, numbers}, torch::dtype(type));
    }
  };
  fit(packed.forward, forward_numbers);
  fit(packed.backward, backward_numbers);

  // Jobs: panels of one layout of one expert, a few at a time; interleaved ones whole.
  constexpr int64_t kPanelsPerJob = 8;
  const auto jobs_of = [](int64_t cols) { return (cols + kPanelsPerJob * kPanel - 1) / (kPanelsPerJob * kPanel); };
  const int64_t forward_jobs = gate_up ? 1 : jobs_of(n), jobs = forward_jobs + jobs_of(k);
  const auto source = number_of(from.scalar_type()), target = number_of(type);
  const int64_t from_bytes = from.element_size(), to_bytes = packed.forward.element_size();
  const auto* base = static_cast<const char*>(from.data_ptr());
  torch_parallel_for()(experts * jobs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t e = i / jobs, job = i % jobs;
      const char* matrix = base + e * n * k * from_bytes;
      const bool forward = job < forward_jobs;
      char* out = static_cast<char*>((forward ? packed.forward : packed.backward).data_ptr()) +
                  e * (forward ? forward_numbers : backward_numbers) * to_bytes;
      if (forward && gate_up) {
        kernels::pack_gate_up(source, {matrix, k}, k, n / 2, target, out);
        continue;
      }
      const int64_t depth = forward ? k : n, width = forward ? n : k;
      const int64_t first = (forward ? job : job - forward_jobs) * kPanelsPerJob * kPanel;
      const int64_t count = std::min(width - first, kPanelsPerJob * kPanel);
      const char* part = matrix + first * (forward ? k : 1) * from_bytes;
      kernels::pack_right(source, {part, k}, forward ? Along::kOutput : Along::kDepth, depth, count, target,
                          out + kernels::packed_numbers(depth, first) * to_bytes);
    }
  });
}

WeightPtr trainable_weight(const Tensor& master) { return std::make_shared<TrainableWeight>(master); }
WeightPtr frozen_weight(const Tensor& values) { return std::make_shared<FrozenWeight>(values); }

}  // namespace dsmoe::moe
