// The original GShard's top-2 gate (arXiv 2006.16668): both gate values divided by their sum, and in training the
// second expert is visited with probability min(1, 2 g2), drawn per token.
//
// What else makes the original - capacity by first choice first, and a balance loss that counts first choices - are
// Capacity and first_choice_aux, parts of their own.
#pragma once

#include "moe/gate.h"
#include "spec/model_config.h"

namespace dsmoe::moe {

class GshardGate final : public Gate {
 public:
  GshardGate(const spec::ModelConfig& config, const GateTensors& tensors, bool random_second_expert);
  Routing route(const GateInput& input) const override;

 private:
  spec::ModelConfig config_;
  WeightPtr router_;
  bool random_second_expert_;
};

}  // namespace dsmoe::moe
