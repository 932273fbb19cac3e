// AdamW over a model's float32 tensors, with the global gradient norm.
//
// Over ranks that have the same tensors their elements, end to end, are shared out: a rank sums, keeps moments of and
// updates its share alone, and hands the new values to the others (ZeRO's first stage). A group of one has everything.
// Of a stack of experts that neighbours in a mesh share out, the copies of this rank are those that have the same.
//
// One pass over memory per update: gradients are scaled, moments and values updated, gradients zeroed and the packed
// copies of weights made anew together, chunk by chunk on the pool handed in. Sums run in chunk order, so the norm has
// the same bits for any thread count. Which tensors decay is the caller's decision: this project decays matrices and
// leaves norms and biases alone.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "comm/mesh.h"
#include "moe/weight.h"
#include "train/adamw.h"

namespace dsmoe::train {

/// A leaf of the graph: float32 (float64 in tests of laws), contiguous, on the CPU.
struct Parameter {
  std::string name;
  torch::Tensor value;
  bool decay = true;
  moe::WeightPtr weight = nullptr;  ///< packed again together with the update where it keeps packed values
  int64_t experts = 0;  ///< of a stack that neighbours share out, how many there are; 0: every rank has all of it

  /// Of the whole stack.
  std::vector<int64_t> whole_sizes() const;
  int64_t whole_numel() const;
};

class AdamW {
 public:
  /// Gives every parameter a gradient of zeros, which backward then adds to in place, and keeps it there: a parameter
  /// that no token reached counts as one with gradient zero (its moments fade, its weights decay).
  AdamW(std::vector<Parameter> parameters, const AdamWOptions& options, base::ParallelFor parallel_for,
        comm::Mesh mesh = {});

  // What every rank calls, in this order.

  /// Adds up the gradients of the ranks that have a parameter; each rank has the sums of its share.
  void sum_gradients();
  /// The L2 norm of all gradients together, each counted once; not finite if any gradient is not.
  double gradient_norm() const;
  /// Applies the gradients times `grad_scale` and zeroes them.
  void update(double lr, double grad_scale);
  /// Forgets the gradients.
  void zero_gradients();

  /// Updates so far; the moments' bias correction counts with it.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Shaped like the whole parameter. Every rank calls them; the first one gets the whole.
  torch::Tensor first_moment(size_t i) const { return whole(first_[i], i); }
  torch::Tensor second_moment(size_t i) const { return whole(second_[i], i); }
  /// Takes this rank's share of both moments of a parameter, given whole.
  void set_moments(size_t i, std::span<const float> first, std::span<const float> second);
  /// Bytes of the moments that this rank keeps.
  int64_t state_bytes() const;

 private:
  struct Chunk {
    size_t parameter;
    int64_t begin, end;
  };
  void for_chunks(const std::function<void(size_t, const Chunk&)>& body) const;
  template <class T>
  void update_range(size_t parameter, int64_t begin, int64_t end, const AdamWStep& step);
  /// Where the packed values of a parameter are made anew together with the update; null where they are not.
  const moe::WeightPieces* pieces(size_t i) const;
  std::vector<Chunk> pieces_of_work() const;
  torch::Tensor whole(const torch::Tensor& own, size_t i) const;
  /// Ranks that have parameter i.
  const comm::Group& ranks_of(size_t i) const;
  /// Elements of the whole parameter i that a rank has, and of those the ones whose moments it keeps.
  comm::Stretch held(size_t i, int rank) const;
  comm::Stretch kept(size_t i, int rank) const;
  /// body(group, parameters) for those that every rank has and those that neighbours share out.
  template <class Body>
  void for_each_group(const Body& body) const;

  std::vector<Parameter> parameters_;
  torch::ScalarType type_;
  comm::Mesh mesh_;
  std::vector<comm::Stretch> own_;             // elements of each parameter, as it is here, that this rank keeps
  std::vector<torch::Tensor> first_, second_;  // of those
  std::vector<Chunk> chunks_;                  // of those
  AdamWOptions options_;
  base::ParallelFor parallel_for_;
  int64_t updates_ = 0;
};

}  // namespace dsmoe::train
