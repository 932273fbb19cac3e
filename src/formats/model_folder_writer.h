// Writing a model folder, streaming: the tensors of spec::for_each_tensor in that order, one buffer's memory.
//
// The folder must exist and should be one that is being made, so that nothing half-written is ever seen:
//
//   base::FolderWriter folder(path);
//   ModelFolderWriter model(folder.path(), config, {.dtype = Dtype::kBf16});
//   spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) { model.append_f32(values_of(tensor)); });
//   model.finish();
//   folder.commit();
#pragma once

#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors_writer.h"
#include "spec/model_config.h"
#include "spec/tensors.h"

namespace dsmoe::formats {

/// What a tensor of the spec is stored as in a model whose weights are `dtype`: hash tables are I32, the balance bias
/// stays F32 (its steps are finer than BF16), everything else is `dtype`.
Dtype stored_dtype(const spec::TensorSpec& tensor, Dtype dtype);

struct ModelFolderOptions {
  Dtype dtype = Dtype::kBf16;            ///< of the weights: F32, BF16 or F16
  uint64_t shard_bytes = 5'000'000'000;  ///< at most, unless one tensor alone is larger; Hugging Face's default
  base::Json further_keys = {};          ///< for config.json: those of a model being rewritten, aux_loss_alpha, ...
  base::fs::path tokenizer_from = {};    ///< a folder whose tokenizer files are copied; empty: none
  std::string card = {};                 ///< README.md; empty: a short one
};

class ModelFolderWriter {
 public:
  /// Plans; nothing is written before the first bytes come. Throws Error(kInvalid) for an impossible model or dtype.
  ModelFolderWriter(const base::fs::path& folder, const spec::ModelConfig& config, ModelFolderOptions options = {},
                    base::FileSystem& files = base::real_files());
  ~ModelFolderWriter();

  /// The next bytes of the tensor whose turn it is, in its stored dtype; a piece never crosses into the next tensor.
  void append(std::span<const std::byte> bytes);
  /// The same from float32 values, converted.
  void append_f32(std::span<const float> values);
  /// A hash router's table.
  void append_i32(std::span<const int32_t> values) { append(std::as_bytes(values)); }
  /// Index, config.json, generation_config.json, tokenizer files, card. Files are fsynced; the folder is the caller's.
  void finish();

  /// Bytes of all tensors, and what the safetensors files will have with headers: known beforehand (the second to
  /// within 1 %).
  uint64_t total_size() const { return total_size_; }
  uint64_t bytes_on_disk() const;
  Dtype dtype() const { return options_.dtype; }
  size_t shard_count() const { return shards_.size(); }

 private:
  struct Shard {
    std::string name;
    std::vector<TensorDeclaration> tensors;
  };
  void plan();
  SafetensorsWriter& open_shard();
  void write_index();
  void write_file(const std::string& name, std::string_view text);

  base::fs::path folder_;
  spec::ModelConfig config_;
  ModelFolderOptions options_;
  base::FileSystem& files_;
  std::vector<Shard> shards_;
  uint64_t total_size_ = 0;
  size_t shard_ = 0;
  std::unique_ptr<SafetensorsWriter> writer_;
  std::vector<std::byte> buffer_;
};

}  // namespace dsmoe::formats
