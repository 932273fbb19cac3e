#include "moe/bias_balancer.h"

namespace dsmoe::moe {

void BiasBalancer::update(Tensor bias_E, const Tensor& counts_E) const {
  const torch::NoGradGuard no_grad;
  const Tensor load_E = counts_E.to(torch::kFloat64);
  const double mean = load_E.mean().item<double>();
  if (rate_ == 0 || mean == 0) return;
  const Tensor error_E = mean - load_E;
  const Tensor step_E = rule_ == BiasRule::kSign ? error_E.sign() : error_E / mean;
  bias_E.add_(step_E.to(bias_E.options()), rate_);
}

}  // namespace dsmoe::moe
