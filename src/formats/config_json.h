// config.json <-> spec::ModelConfig.
//
// Mixtures use the keys of `deepseek` (deepseek-moe-16b's file), dense models those of `llama`. What the format has no
// key for is written under the names of DeepSeek-V2 and V3 (topk_method, n_group, topk_group, routed_scaling_factor),
// and router_type is dsmoe's own; these appear only where they differ from the plain model. Keys that dsmoe does not
// use are tolerated, and kept when a file is rewritten. A key that would change the mathematics and that dsmoe does not
// compute (tied embeddings, attention bias, scaled rope, another activation) is refused by name.
#pragma once

#include "base/json.h"
#include "formats/dtype.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// Reads and validates. Throws Error(kInvalid) with `where`, the rule, the value and a hint.
spec::ModelConfig config_from_json(const base::Json& json, std::string_view where);

/// The dtype the file says its weights have (torch_dtype or dtype); kF32 when it says nothing.
Dtype dtype_from_json(const base::Json& json, std::string_view where);

/// The file for a model. `kept`: a config.json whose further keys live on, or keys to add (aux_loss_alpha, say); what
/// dsmoe knows itself is overwritten.
base::Json config_to_json(const spec::ModelConfig& config, Dtype dtype, const base::Json& kept = {});

}  // namespace dsmoe::formats
