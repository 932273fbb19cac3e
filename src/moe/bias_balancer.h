// Loss-free balancing (arXiv 2408.15664): after each optimiser step, expert biases move against the load.
//
// b_i += u * sign(mean - c_i), or, proportionally, b_i += u * (mean - c_i) / mean. c_i are the choices of the whole
// step, over all micro-batches and ranks, so the caller sums counts first. The paper leaves the unit of the
// proportional error open; relative load is taken, which does not depend on the batch size. Overloaded experts go down
// (a published note has the sign backwards).
#pragma once

#include <torch/types.h>

namespace dsmoe::moe {

using torch::Tensor;

enum class BiasRule { kSign, kProportional };

class BiasBalancer {
 public:
  BiasBalancer(double rate, BiasRule rule) : rate_(rate), rule_(rule) {}
  /// bias_E floating, changed in place; counts_E of the whole step. No load at all leaves the bias alone.
  void update(Tensor bias_E, const Tensor& counts_E) const;

 private:
  double rate_;
  BiasRule rule_;
};

}  // namespace dsmoe::moe
