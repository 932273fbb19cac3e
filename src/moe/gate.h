// Gate: decides which experts each token visits and with what weight.
//
// The paper's model and its rivals differ here and hardly anywhere else. A gate returns a Routing and keeps nothing; a
// new one is one file and one line in moe/registry.cpp.
#pragma once

#include <cstdint>

#include "moe/routing.h"
#include "moe/weight.h"

namespace dsmoe::moe {

struct GateInput {
  Tensor x_TD;         ///< normed hidden states, any floating type: routers compute in their own, float32
  Tensor token_ids_T;  ///< int64, for gates that look at tokens
  bool training = false;
  uint64_t random_key = 0;  ///< of this layer and micro-batch; same key, same draws
};

class Gate {
 public:
  virtual ~Gate() = default;
  /// Everything of Routing but mask_T, sequences and capacity's drops.
  virtual Routing route(const GateInput& input) const = 0;
};

/// What a gate of a model is made of; each gate takes what it needs.
struct GateTensors {
  WeightPtr router;      ///< [E, D]: one learned vector per expert (the paper's centroids e_i)
  Tensor bias_E;         ///< added to affinities in the selection only; moved by moe/bias_balancer.h, not by gradients
  Tensor hash_table_VK;  ///< integer expert ids of each token id
};

}  // namespace dsmoe::moe
