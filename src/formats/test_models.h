// For tests only: small models of every kind, and folders of them.
#pragma once

#include "base/test_files.h"
#include "formats/initial_values.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"

namespace dsmoe::formats {

/// A mixture with every part, as small as it goes.
inline spec::ModelConfig small_mixture() {
  spec::ModelConfig c;
  c.vocab_size = 40;
  c.hidden_size = 12;
  c.num_hidden_layers = 3;
  c.num_attention_heads = 2;
  c.num_key_value_heads = 1;
  c.intermediate_size = 20;
  c.max_position_embeddings = 32;
  c.n_routed_experts = 4;
  c.n_shared_experts = 2;
  c.num_experts_per_tok = 2;
  c.moe_intermediate_size = 6;
  c.first_k_dense_replace = 1;
  return c;
}

inline spec::ModelConfig small_dense() {
  spec::ModelConfig c = small_mixture();
  c.n_routed_experts = c.n_shared_experts = c.num_experts_per_tok = c.moe_intermediate_size = 0;
  c.first_k_dense_replace = 0;
  return c;
}

/// Tokens find their one expert in a table.
inline spec::ModelConfig small_hash() {
  spec::ModelConfig c = small_mixture();
  c.router_type = spec::RouterType::kHash;
  c.num_experts_per_tok = 1;
  c.n_shared_experts = 0;
  return c;
}

/// One of every router, gate and grouping.
inline std::vector<spec::ModelConfig> models_of_every_kind() {
  std::vector<spec::ModelConfig> all = {small_dense(), small_mixture(), small_hash()};
  spec::ModelConfig c = small_hash();
  c.router_type = spec::RouterType::kHashBalanced;
  all.push_back(c);
  c = small_mixture();
  c.router_type = spec::RouterType::kGshard;
  c.norm_topk_prob = true;
  all.push_back(c);
  c = small_mixture();
  c.scoring_func = spec::ScoringFunc::kSigmoid;
  c.topk_method = spec::TopkMethod::kNoauxTc;
  c.norm_topk_prob = true;
  c.routed_scaling_factor = 2.5;
  c.n_group = 2;
  all.push_back(c);
  c = small_mixture();
  c.topk_method = spec::TopkMethod::kGroupLimitedGreedy;
  c.n_group = 2;
  c.topk_group = 1;
  c.moe_layer_freq = 2;
  c.first_k_dense_replace = 0;
  c.rope_theta = 500000.0;
  c.rms_norm_eps = 1e-5;
  all.push_back(c);
  return all;
}

/// A whole model folder with initial values.
inline void write_model(const base::fs::path& path, const spec::ModelConfig& config, ModelFolderOptions options = {},
                        base::FileSystem& files = base::unsynced_files, uint64_t seed = 1) {
  base::FolderWriter folder(path, files);
  ModelFolderWriter writer(folder.path(), config, std::move(options), files);
  write_initial_model(writer, config, seed, base::serial_for);
  writer.finish();
  folder.commit();
}

}  // namespace dsmoe::formats
