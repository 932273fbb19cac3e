// A model in a folder, as Hugging Face lays it out: config.json, model.safetensors or shards with an index.
//
// open() checks everything but the values: the configuration, the index (plain file names, each tensor in exactly one
// shard, the sum of sizes), and that the tensors are exactly those of spec::for_each_tensor, with their shapes and a
// dtype dsmoe computes with. Inside, code may ask for any tensor of the spec and multiply sizes freely.
// A folder of Hugging Face's cache (links into blobs) is a model folder like any other.
#pragma once

#include <unordered_map>

#include "base/json.h"
#include "formats/safetensors.h"
#include "spec/model_config.h"
#include "spec/tensors.h"

namespace dsmoe::formats {

inline constexpr std::string_view kSingleFile = "model.safetensors";
inline constexpr std::string_view kIndexFile = "model.safetensors.index.json";

class ModelFolder {
 public:
  /// Throws Error: kIo when something cannot be read, kInvalid when it is no model or a broken one.
  static ModelFolder open(const base::fs::path& folder);

  const base::fs::path& path() const { return path_; }
  const spec::ModelConfig& config() const { return config_; }
  /// The whole config.json, with the keys dsmoe does not use.
  const base::Json& config_json() const { return config_json_; }
  /// What config.json says of the weights' dtype; single tensors may differ.
  Dtype dtype() const { return dtype_; }
  /// Bytes of all tensors of the model.
  uint64_t total_size() const;

  /// A tensor of spec::for_each_tensor by name; the view lives as long as this object.
  TensorView tensor(std::string_view name) const;
  /// The same as float32; `out` has exactly numel() elements.
  void read_f32(std::string_view name, std::span<float> out) const;
  std::vector<float> read_f32(std::string_view name) const;
  /// A hash router's table, [vocab_size, num_experts_per_tok], every id below n_routed_experts.
  std::vector<int32_t> read_hash_table(std::string_view name) const;

  /// Compares all data with its checksums: manifest.json's where the folder has one, else those in the safetensors
  /// files. Throws Error(kInvalid) naming what is damaged; false when the folder carries no checksums.
  bool verify(const base::ParallelFor& parallel = base::serial_for) const;

 private:
  ModelFolder() = default;
  void open_index(const base::fs::path& path);
  void add_shard(const base::fs::path& path);
  void judge_tensors() const;

  base::fs::path path_;
  spec::ModelConfig config_;
  base::Json config_json_;
  Dtype dtype_ = Dtype::kF32;
  std::vector<SafetensorsFile> shards_;
  std::unordered_map<std::string, std::pair<size_t, const TensorEntry*>> tensors_;  // name -> shard, entry
};

}  // namespace dsmoe::formats
