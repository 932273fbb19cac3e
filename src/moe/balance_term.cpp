#include "moe/balance_term.h"

#include <algorithm>

#include "moe/selection.h"

namespace dsmoe::moe {
namespace {

Sequences scopes_of(const Routing& routing, BalanceScope scope) {
  return scope == BalanceScope::kSequence ? routing.sequences : Sequences::equal(1, routing.tokens());
}

/// 1 for real tokens, 0 for padding, [T, 1] in the scores' type.
Tensor real_T1(const Routing& routing) {
  const auto options = routing.scores_TE.options().requires_grad(false);
  return routing.mask_T.defined() ? routing.mask_T.to(options.dtype()).unsqueeze(1)
                                  : torch::ones({routing.tokens(), 1}, options);
}

/// int64 [T]: the scope of each token.
Tensor scope_of_tokens_T(const Sequences& scopes) {
  const Tensor scope_T = torch::empty({scopes.tokens()}, torch::kLong);
  for (int64_t s = 0; s < scopes.count(); ++s) {
    std::fill_n(scope_T.data_ptr<int64_t>() + scopes.begins()[static_cast<size_t>(s)], scopes.length(s), s);
  }
  return scope_T;
}

/// How often each of `buckets` is named by real tokens, by scope: [B, buckets].
Tensor count_choices(const Routing& routing, const Tensor& choices_TC, int64_t buckets, const Sequences& scopes) {
  const torch::NoGradGuard no_grad;
  const Tensor ones = real_T1(routing).expand_as(choices_TC).reshape(-1);
  const Tensor place_TC = choices_TC + scope_of_tokens_T(scopes).to(choices_TC.device()).unsqueeze(1) * buckets;
  const Tensor counts = torch::zeros({scopes.count() * buckets}, ones.options());
  return counts.scatter_add_(0, place_TC.reshape(-1), ones).view({scopes.count(), buckets});
}

Tensor sum_over_groups(const Tensor& x_BE, int64_t groups) {
  return x_BE.view({x_BE.size(0), groups, x_BE.size(1) / groups}).sum(2);
}

/// alpha * sum over scopes of tokens/total * sum_i f_i P_i.
Tensor weighted(double alpha, const Tensor& f, const Tensor& p, const Tensor& tokens_B, double total_tokens) {
  return ((f * p).sum(1) * tokens_B).sum() * (alpha / total_tokens);
}

Tensor zero_like(const Tensor& x) { return torch::zeros({}, x.options().requires_grad(false)); }

/// What f counts: the choices made, or, where a bias took part, those the affinities alone would make.
Tensor choices_without_bias(const Routing& routing) {
  if (!routing.selection_biased) return routing.experts_TK;
  return best_experts(routing.scores_TE.detach(), routing.chosen());
}

}  // namespace

BalanceStatistics balance_statistics(const Routing& routing, const Tensor& choices_TC, BalanceScope scope) {
  const int64_t experts = routing.scores_TE.size(1), chosen = choices_TC.size(1);
  const Sequences scopes = scopes_of(routing, scope);
  BalanceStatistics statistics;
  statistics.tokens_B = sum_by_scope(real_T1(routing), {}, scopes).squeeze(1);
  const Tensor per_token = statistics.tokens_B.clamp_min(1).unsqueeze(1);
  const Tensor counts_BE = count_choices(routing, choices_TC, experts, scopes);
  statistics.f_BE = counts_BE * (static_cast<double>(experts) / static_cast<double>(chosen)) / per_token;
  statistics.p_BE = sum_by_scope(routing.probabilities_TE(), routing.mask_T, scopes) / per_token;
  return statistics;
}

Tensor ExpertBalance::loss(const Routing& routing, double total_tokens) const {
  if (!routing.scores_TE.defined()) return zero_like(routing.weights_TK);
  Tensor choices = choices_without_bias(routing);
  if (first_choice_) choices = choices.narrow(1, 0, 1);
  const auto s = balance_statistics(routing, choices, scope_);
  return weighted(alpha_, s.f_BE, s.p_BE, s.tokens_B, total_tokens);
}

Tensor DeviceBalance::loss(const Routing& routing, double total_tokens) const {
  if (!routing.scores_TE.defined()) return zero_like(routing.weights_TK);
  const auto s = balance_statistics(routing, choices_without_bias(routing), scope_);
  const auto size = static_cast<double>(s.f_BE.size(1) / devices_);
  return weighted(alpha_, sum_over_groups(s.f_BE, devices_) / size, sum_over_groups(s.p_BE, devices_), s.tokens_B,
                  total_tokens);
}

Tensor CommunicationBalance::loss(const Routing& routing, double total_tokens) const {
  if (!routing.scores_TE.defined()) return zero_like(routing.weights_TK);
  const auto s = balance_statistics(routing, routing.experts_TK, scope_);
  const int64_t size = s.f_BE.size(1) / devices_;
  // A token is sent to a device once, however many of its experts are there.
  const Tensor sent_TD = torch::zeros({routing.tokens(), devices_}, s.p_BE.options().requires_grad(false))
                             .scatter_(1, routing.experts_TK.div(size, "floor"), 1.0);
  const Tensor sent_BD = sum_by_scope(sent_TD, routing.mask_T, scopes_of(routing, scope_));
  const Tensor f_BD =
      sent_BD * (static_cast<double>(devices_) / static_cast<double>(reach_)) / s.tokens_B.clamp_min(1).unsqueeze(1);
  return weighted(alpha_, f_BD, sum_over_groups(s.p_BE, devices_), s.tokens_B, total_tokens);
}

Tensor ZLoss::loss(const Routing& routing, double total_tokens) const {
  if (!routing.logits_TE.defined()) return zero_like(routing.weights_TK);
  const Tensor squares_T1 = routing.logits_TE.logsumexp(1, /*keepdim=*/true).square();
  return sum_by_scope(squares_T1, routing.mask_T, Sequences::equal(1, routing.tokens())).sum() *
         (alpha_ / total_tokens);
}

}  // namespace dsmoe::moe
