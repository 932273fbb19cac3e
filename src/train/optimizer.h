// AdamW over a model's float32 tensors, with the global gradient norm.
//
// One pass over memory per update: gradients are scaled, moments and values updated, gradients zeroed and the packed
// copies of weights made anew together, chunk by chunk on the pool handed in. Sums run in chunk order, so the norm has
// the same bits for any thread count. Which tensors decay is the caller's decision: this project decays matrices and
// leaves norms and biases alone.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "moe/weight.h"
#include "train/adamw.h"

namespace dsmoe::train {

/// A leaf of the graph: float32, contiguous, on the CPU.
struct Parameter {
  std::string name;
  torch::Tensor value;
  bool decay = true;
  moe::WeightPtr weight = nullptr;  ///< packed again together with the update where it keeps packed values
};

class AdamW {
 public:
  /// Gives every parameter a gradient of zeros, which backward then adds to in place, and keeps it there: a parameter
  /// that no token reached counts as one with gradient zero (its moments fade, its weights decay).
  AdamW(std::vector<Parameter> parameters, const AdamWOptions& options, base::ParallelFor parallel_for);

  /// The L2 norm of all gradients together; not finite if any gradient is not.
  double gradient_norm() const;
  /// Applies the gradients times `grad_scale` and zeroes them.
  void update(double lr, double grad_scale);
  /// Forgets the gradients.
  void zero_gradients();

  /// Updates so far; the moments' bias correction counts with it.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const torch::Tensor& first_moment(size_t i) const { return first_[i]; }
  const torch::Tensor& second_moment(size_t i) const { return second_[i]; }

 private:
  struct Chunk {
    size_t parameter;
    int64_t begin, end;
  };
  void for_chunks(const std::function<void(size_t, const Chunk&)>& body) const;
  void update_range(size_t parameter, int64_t begin, int64_t end, const AdamWStep& step);

  std::vector<Parameter> parameters_;
  std::vector<torch::Tensor> first_, second_;
  std::vector<Chunk> chunks_;
  AdamWOptions options_;
  base::ParallelFor parallel_for_;
  int64_t updates_ = 0;
};

}  // namespace dsmoe::train
