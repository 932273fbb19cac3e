#include "moe/hash_gate.h"

#include "moe/rows.h"

namespace dsmoe::moe {

Routing HashGate::route(const GateInput& input) const {
  Routing routing;
  routing.experts_TK = table_VK_.index_select(0, input.token_ids_T).to(torch::kInt64);
  routing.weights_TK =
      torch::ones(routing.experts_TK.sizes(), input.x_TD.options().dtype(wide(input.x_TD.scalar_type())));
  return routing;
}

}  // namespace dsmoe::moe
