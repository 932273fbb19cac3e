// Adapters as numbers and names: which weight matrices may have one, and which of them a list of targets names.
//
// An adapter of rank r beside a matrix W [N, K] is A [r, K] and B [N, r]: y = W x + scale * B (A x), with scale alpha /
// r (LoRA, arXiv 2106.09685). A matrix is called by its module, as PEFT does: its tensor's name without ".weight".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "spec/tensors.h"
#include "spec/train_config.h"

namespace dsmoe::spec {

/// Matrices of attention, of dense feed-forward networks and of experts; no router, embedding, head or norm.
bool takes_adapter(const TensorSpec& tensor);
/// "model.layers.3.self_attn.q_proj" of "model.layers.3.self_attn.q_proj.weight".
std::string module_of(std::string_view tensor_name);

/// Whether `target` names the module: it is a run of whole parts of its name (q_proj; self_attn; mlp.experts.5;
/// layers.2.mlp.experts.5.down_proj), or one of the words attention, dense, shared, experts and all.
bool target_names(std::string_view target, std::string_view module);

/// The matrices that a comma-separated list of targets names, in the order of the checkpoint. Throws Error(kInvalid)
/// for an empty list and for a target that names none, with `where` as the part.
std::vector<TensorSpec> adapted_tensors(const ModelConfig& config, std::string_view targets,
                                        std::string_view where = "adapter");

/// Numbers in all A and B that a run trains; 0 where it trains the whole model.
int64_t adapter_parameters(const ModelConfig& config, const TrainConfig& train);

}  // namespace dsmoe::spec
