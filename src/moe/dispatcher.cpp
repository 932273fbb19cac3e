#include "moe/dispatcher.h"

namespace dsmoe::moe {

ExpertWork LocalDispatcher::dispatch(const Tensor& x_TD, const Routing& routing) const {
  Tensor kept_TK = routing.kept_TK;
  if (routing.mask_T.defined()) {  // padding visits nobody
    const Tensor real_TK = routing.mask_T.unsqueeze(1).expand_as(routing.experts_TK);
    kept_TK = kept_TK.defined() ? kept_TK.logical_and(real_TK) : real_TK;
  }
  return {x_TD, routing.weights_TK, plan_slots(routing.experts_TK, kept_TK, experts_)};
}

}  // namespace dsmoe::moe
