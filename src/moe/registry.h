// The one place that maps a configuration to its parts: the gate, and the balance terms training asks for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "moe/balance_term.h"
#include "moe/gate.h"
#include "moe/moe_layer.h"
#include "moe/training_options.h"
#include "spec/model_config.h"

namespace dsmoe::moe {

struct GateKind {
  std::string name;
  /// Makes a configuration ask for this gate; the parameterised tests walk all kinds by it.
  void (*configure)(spec::ModelConfig&);
  bool (*matches)(const spec::ModelConfig&);
  std::unique_ptr<Gate> (*make)(const spec::ModelConfig&, const TrainingOptions&, const GateTensors&);
};

const std::vector<GateKind>& gate_kinds();
std::unique_ptr<Gate> make_gate(const spec::ModelConfig& config, const TrainingOptions& training,
                                const GateTensors& tensors);
/// The terms with a coefficient above zero. Throws Error(kInvalid) where n_device_groups does not divide the experts.
std::vector<std::unique_ptr<BalanceTerm>> make_balance_terms(const spec::ModelConfig& config,
                                                             const TrainingOptions& training);

/// All weights of one mixture layer; shared ones null without shared experts.
struct MoeWeights {
  GateTensors gate;
  WeightPtr gate_up, down;                ///< [E, 2F, D], [E, D, F] of the experts that are here
  WeightPtr shared_gate_up, shared_down;  ///< [2 Fs, D], [D, Fs]
};
/// `ranks` have the routed experts between them (placement.h).
MoeLayer make_moe_layer(const spec::ModelConfig& config, const TrainingOptions& training, const MoeWeights& weights,
                        const comm::Group& ranks = {});

}  // namespace dsmoe::moe
