#include "moe/dispatcher.h"

#include "moe/trip.h"

namespace dsmoe::moe {
namespace {

// Slots that visit an expert; undefined: all do. Padding visits nobody.
Tensor visiting_TK(const Routing& routing) {
  if (!routing.mask_T.defined()) return routing.kept_TK;
  const Tensor real_TK = routing.mask_T.unsqueeze(1).expand_as(routing.experts_TK);
  return routing.kept_TK.defined() ? routing.kept_TK.logical_and(real_TK) : real_TK;
}

}  // namespace

ExpertWork LocalDispatcher::dispatch(const Tensor& x_TD, const Routing& routing) const {
  return {x_TD, routing.weights_TK, plan_slots(routing.experts_TK, visiting_TK(routing), experts_)};
}

ExpertWork RankDispatcher::dispatch(const Tensor& x_TD, const Routing& routing) const {
  const auto trip = std::make_shared<const Trip>(placement_, routing.experts_TK, visiting_TK(routing));
  return {there(trip, x_TD), there(trip, routing.weights_TK),
          plan_slots(trip->experts_RK(), trip->here_RK(), placement_.own().size()), trip};
}

Tensor RankDispatcher::combine(const Tensor& out_RD, const ExpertWork& work) const { return back(work.trip, out_RD); }

}  // namespace dsmoe::moe
