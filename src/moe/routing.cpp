#include "moe/routing.h"

namespace dsmoe::moe {

Tensor Routing::counts_E(int64_t experts) const {
  const torch::NoGradGuard no_grad;
  const Tensor real_TK = mask_T.defined() ? experts_TK.index({mask_T}) : experts_TK;
  return torch::bincount(real_TK.reshape(-1), {}, experts);
}

int64_t Routing::real_tokens() const { return mask_T.defined() ? mask_T.sum().item<int64_t>() : tokens(); }

int64_t Routing::dropped() const {
  if (!kept_TK.defined()) return 0;
  Tensor dropped_TK = kept_TK.logical_not();
  if (mask_T.defined()) dropped_TK = dropped_TK.logical_and(mask_T.unsqueeze(1));
  return dropped_TK.sum().item<int64_t>();
}

Tensor Routing::probabilities_TE() const {
  return scores_sum_to_one ? scores_TE : scores_TE / scores_TE.sum(-1, /*keepdim=*/true);
}

Routing Routing::detach() const {
  Routing copy = *this;
  for (Tensor* tensor : {&copy.weights_TK, &copy.logits_TE, &copy.scores_TE}) {
    if (tensor->defined()) *tensor = tensor->detach();
  }
  return copy;
}

double max_violation(const Tensor& counts_E) {
  const Tensor load_E = counts_E.to(torch::kFloat64);
  const double mean = load_E.mean().item<double>();
  return mean > 0 ? (load_E.max().item<double>() - mean) / mean : 0;
}

}  // namespace dsmoe::moe
