// Every tensor of a model: its Hugging Face name and shape, in the order of the checkpoint.
//
// This is the one place that knows names. Loading checks a folder against it; training, engine, init and export walk
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "spec/model_config.h"

namespace dsmoe::spec {

/// What a tensor is for, which decides how it starts: kNorm with ones, kRouterBias with zeros, kHashTable with a fixed
/// table of expert ids (int32), everything else with N(0, initializer_range).
enum class TensorRole { kEmbedding, kNorm, kAttention, kRouter, kRouterBias, kHashTable, kFfn, kHead };

struct TensorSpec {
  std::string name;            ///< e.g. model.layers.3.mlp.experts.5.up_proj.weight
  std::vector<int64_t> shape;  ///< [out, in] for matrices
  TensorRole role;
  int64_t numel() const;
};

/// Calls `visit` for each tensor; nothing is stored, so a 145B model costs nothing to walk.
void for_each_tensor(const ModelConfig& config, const std::function<void(const TensorSpec&)>& visit);
std::vector<TensorSpec> tensors_of(const ModelConfig& config);

/// Name pieces, for rooms that need one tensor. `part` is "gate_proj", "up_proj" or "down_proj".
std::string layer_prefix(int64_t layer);                                          // model.layers.N.
std::string expert_name(int64_t layer, int64_t expert, const std::string& part);  // ...mlp.experts.E.PART.weight
std::string shared_name(int64_t layer, const std::string& part);                  // ...mlp.shared_experts.PART.weight

}  // namespace dsmoe::spec
