// What of a model a run trains. All weights, or adapters beside those that train.lora_targets names; or with a rank of
// 0 and targets other than "all", the routed experts that they name, while everything else stays (expert-specialised
// fine-tuning, arXiv 2407.01906).
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spec/model_config.h"
#include "spec/train_config.h"

namespace dsmoe::spec {

struct RoutedExpert {
  int64_t layer = 0, expert = 0;
  /// layers.2.mlp.experts.5, as a target (spec/adapter.h).
  std::string target() const;
  auto operator<=>(const RoutedExpert&) const = default;
};

/// Whether these targets of a run without adapters are chosen experts: neither all nor nothing.
bool names_experts(std::string_view targets);

/// Those that a comma-separated list of targets names, by layer and expert. Throws Error(kInvalid) with `where` as the
/// part for an empty list and for a target that names anything but whole routed experts.
std::vector<RoutedExpert> routed_experts(const ModelConfig& config, std::string_view targets, std::string_view where);

/// Numbers that a run trains: all weights, those of the chosen experts, or those of adapters.
int64_t trained_parameters(const ModelConfig& config, const TrainConfig& train);

}  // namespace dsmoe::spec
