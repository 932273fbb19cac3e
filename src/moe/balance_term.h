// Balance terms: losses that push routing towards even load. A layer has a list of them; each reads the Routing.
//
// f counts choices and has no gradient; gradients flow through P, the mean affinity, only (paper section 3.3). Both are
// taken over real tokens, per sequence or pooled over the micro-batch.
//
// Scaling. `loss` returns sum over scopes of (tokens of the scope / total_tokens) * L(scope), where total_tokens are
// the real tokens of the whole optimiser step over all its micro-batches and ranks. So gradients of micro-batches add
// up, whatever their number and their padding: per sequence, to exactly the one big batch's; pooled, to the mean of the
// micro-batches' own terms weighted by their tokens (f and P multiply, so a pooled term depends on what is pooled).
#pragma once

#include <memory>
#include <vector>

#include "moe/routing.h"

namespace dsmoe::moe {

class BalanceTerm {
 public:
  virtual ~BalanceTerm() = default;
  /// Scalar, alpha included. Zero for gates without a router.
  virtual Tensor loss(const Routing& routing, double total_tokens) const = 0;
};

/// What is averaged over: a sequence, or all of a micro-batch.
enum class BalanceScope { kSequence, kPooled };

/// f_i and P_i of every scope.
struct BalanceStatistics {
  Tensor f_BE;      ///< E/(K T) * choices, sums to E
  Tensor p_BE;      ///< mean affinity, sums to 1; differentiable
  Tensor tokens_B;  ///< real tokens
};
/// `choices_TC` int64 expert ids that count, C of them per token.
BalanceStatistics balance_statistics(const Routing& routing, const Tensor& choices_TC, BalanceScope scope);

/// L = alpha sum_i f_i P_i (paper eq. 12-14); at K = 1 the Switch loss. With first_choice, f counts first choices only
/// (original GShard). Where a bias took part in the selection, f counts the top K without it (DeepSeek-V3 eq. 18).
class ExpertBalance final : public BalanceTerm {
 public:
  ExpertBalance(double alpha, BalanceScope scope, bool first_choice)
      : alpha_(alpha), scope_(scope), first_choice_(first_choice) {}
  Tensor loss(const Routing& routing, double total_tokens) const override;

 private:
  double alpha_;
  BalanceScope scope_;
  bool first_choice_;
};

/// L = alpha sum_d f'_d P'_d over groups of experts on one device: f' the mean of f, P' the sum of P (paper eq. 15-17).
class DeviceBalance final : public BalanceTerm {
 public:
  DeviceBalance(double alpha, BalanceScope scope, int64_t devices) : alpha_(alpha), scope_(scope), devices_(devices) {}
  Tensor loss(const Routing& routing, double total_tokens) const override;

 private:
  double alpha_;
  BalanceScope scope_;
  int64_t devices_;
};

/// L = alpha sum_d f''_d P''_d, f'' = D/(M T) * tokens sent to device d, M devices a token can reach (DeepSeek-V2).
class CommunicationBalance final : public BalanceTerm {
 public:
  CommunicationBalance(double alpha, BalanceScope scope, int64_t devices, int64_t reach)
      : alpha_(alpha), scope_(scope), devices_(devices), reach_(reach) {}
  Tensor loss(const Routing& routing, double total_tokens) const override;

 private:
  double alpha_;
  BalanceScope scope_;
  int64_t devices_, reach_;
};

/// L = alpha mean_t (log sum_i exp logit_i)^2: keeps router logits small.
class ZLoss final : public BalanceTerm {
 public:
  explicit ZLoss(double alpha) : alpha_(alpha) {}
  Tensor loss(const Routing& routing, double total_tokens) const override;

 private:
  double alpha_;
};

}  // namespace dsmoe::moe
