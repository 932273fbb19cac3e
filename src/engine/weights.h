// A model's weights as the engine uses them: matrices in the file's own bytes where the kernels can read those, norms,
// router and biases as float32.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/model_folder.h"
#include "kernels/bank.h"
#include "spec/model_config.h"

namespace dsmoe::engine {

/// A tensor in memory; hash tables hold their ids as floats.
struct FloatTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
/// Tensors by the names of spec/tensors.h.
using FloatTensors = std::map<std::string, FloatTensor>;

struct LayerWeights {
  std::vector<float> attention_norm, ffn_norm;
  kernels::Matrix q, k, v, o;
  bool is_moe = false;
  kernels::Ffn dense;               ///< where not is_moe
  kernels::Matrix router;           ///< [E, D] float32; no rows for hash tables
  std::vector<float> router_bias;   ///< [E] or empty
  std::vector<int32_t> hash_table;  ///< [V, K] or empty
  std::vector<kernels::Ffn> experts;
  kernels::Ffn shared;  ///< no rows without shared experts
  bool has_shared() const { return shared.gate.rows > 0; }
};

class Weights {
 public:
  /// Keeps the folder open and computes from its mapped bytes; F16 and F64 tensors, and any that lie at an odd address,
  /// become float32 copies.
  static Weights from_folder(data::ModelFolder folder);
  /// Tensors must be exactly those of the configuration; throws Error(kInvalid) naming the first that is not.
  static Weights from_tensors(const spec::ModelConfig& config, FloatTensors tensors);

  const spec::ModelConfig& config() const { return config_; }
  const kernels::Matrix& embedding() const { return embedding_; }  ///< [V, D]
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const std::vector<float>& final_norm() const { return final_norm_; }
  const kernels::Matrix& head() const { return head_; }  ///< [V, D]

 private:
  class Source;
  class FolderSource;
  class MemorySource;
  Weights() = default;
  void bind(const Source& source);
  void bind_mixture(const Source& source, int64_t layer, LayerWeights& weights);
  kernels::Matrix matrix(const data::TensorView& tensor);
  kernels::Matrix own(std::vector<float> values, int64_t rows, int64_t cols);

  spec::ModelConfig config_;
  std::shared_ptr<const Source> source_;    // owns the bytes that matrices point to
  std::vector<std::vector<float>> copies_;  // or these do
  kernels::Matrix embedding_, head_;
  std::vector<float> final_norm_;
  std::vector<LayerWeights> layers_;
};

}  // namespace dsmoe::engine
