// Hash layers (arXiv 2106.04426): the expert is a fixed function of the token id. No router, no gate multiplier,
// nothing for a balance loss to push.
//
// The table is a tensor of the model, made by formats/initial_values.h at random or balanced by token frequency.
#pragma once

#include "moe/gate.h"

namespace dsmoe::moe {

class HashGate final : public Gate {
 public:
  explicit HashGate(const GateTensors& tensors) : table_VK_(tensors.hash_table_VK) {}
  Routing route(const GateInput& input) const override;

 private:
  Tensor table_VK_;
};

}  // namespace dsmoe::moe
