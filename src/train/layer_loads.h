// From routings to loads: what each expert of each MoE layer was given.
#pragma once

#include <vector>

#include "moe/routing.h"
#include "spec/model_config.h"
#include "train/record.h"

namespace dsmoe::train {

/// One load of zeros per MoE layer.
std::vector<LayerLoad> empty_loads(const spec::ModelConfig& config);
/// Adds the routings of one micro-batch, one per MoE layer in the same order.
void add_loads(const std::vector<moe::Routing>& routings, std::vector<LayerLoad>& loads);

}  // namespace dsmoe::train
