#include "train/optimizer.h"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace dsmoe::train {
namespace {

constexpr int64_t kChunk = 1 << 16;

}  // namespace

AdamW::AdamW(std::vector<Parameter> parameters, const AdamWOptions& options, base::ParallelFor parallel_for)
    : parameters_(std::move(parameters)), options_(options), parallel_for_(std::move(parallel_for)) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    torch::Tensor& value = parameters_[i].value;
    DSMOE_CHECK(value.scalar_type() == torch::kFloat && value.is_contiguous() && value.device().is_cpu(),
                "an optimised tensor is float32, contiguous and on the CPU: " + parameters_[i].name);
    value.mutable_grad() = torch::zeros_like(value);
    first_.push_back(torch::zeros_like(value));
    second_.push_back(torch::zeros_like(value));
    for (int64_t at = 0; at < value.numel(); at += kChunk) {
      chunks_.push_back({i, at, std::min(at + kChunk, value.numel())});
    }
  }
}

void AdamW::for_chunks(const std::function<void(size_t, const Chunk&)>& body) const {
  parallel_for_(static_cast<int64_t>(chunks_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) body(static_cast<size_t>(c), chunks_[static_cast<size_t>(c)]);
  });
}

double AdamW::gradient_norm() const {
  std::vector<double> sums(chunks_.size());
  for_chunks([&](size_t c, const Chunk& chunk) {
    const float* grad = parameters_[chunk.parameter].value.grad().data_ptr<float>();
    sums[c] = sum_of_squares(grad + chunk.begin, chunk.end - chunk.begin);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

void AdamW::update_range(size_t i, int64_t begin, int64_t end, const AdamWStep& step) {
  adamw_update(step,
               {.value = parameters_[i].value.data_ptr<float>() + begin,
                .grad = parameters_[i].value.grad().data_ptr<float>() + begin,
                .first_moment = first_[i].data_ptr<float>() + begin,
                .second_moment = second_[i].data_ptr<float>() + begin},
               end - begin);
}

void AdamW::update(double lr, double grad_scale) {
  ++updates_;
  const AdamWStep decayed = AdamWStep::make(options_, lr, grad_scale, updates_, true);
  const AdamWStep plain = AdamWStep::make(options_, lr, grad_scale, updates_, false);
  // Elements of plain parameters, pieces of those that are packed.
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    const moe::WeightPieces* pieces = p.weight ? p.weight->pieces() : nullptr;
    const int64_t count = pieces ? pieces->count() : p.value.numel();
    const int64_t step = pieces ? std::max<int64_t>(1, kChunk * count / p.value.numel()) : kChunk;
    for (int64_t at = 0; at < count; at += step) chunks.push_back({i, at, std::min(at + step, count)});
  }
  parallel_for_(static_cast<int64_t>(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      const auto& [i, begin, end] = chunks[static_cast<size_t>(c)];
      const Parameter& p = parameters_[i];
      const AdamWStep& step = p.decay ? decayed : plain;
      const moe::WeightPieces* pieces = p.weight ? p.weight->pieces() : nullptr;
      if (!pieces) update_range(i, begin, end, step);
      for (int64_t piece = begin; pieces && piece < end; ++piece) {
        for (const auto& range : pieces->ranges(piece)) update_range(i, range.begin, range.end, step);
        p.weight->pack_again(piece);
      }
    }
  });
  // Autograd has not seen this; whoever keeps a copy of the values asks the version.
  for (Parameter& parameter : parameters_) {
    torch::autograd::impl::bump_version(parameter.value);
    if (parameter.weight && parameter.weight->pieces()) parameter.weight->packed_again();
  }
}

void AdamW::zero_gradients() {
  for_chunks([&](size_t, const Chunk& chunk) {
    float* grad = parameters_[chunk.parameter].value.grad().data_ptr<float>();
    std::fill(grad + chunk.begin, grad + chunk.end, 0.0F);
  });
}

}  // namespace dsmoe::train
