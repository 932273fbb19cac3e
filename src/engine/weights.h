// A model's weights as the engine uses them: matrices in the file's own bytes where the kernels can read those, norms,
// router and biases as float32.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "formats/adapter_folder.h"
#include "formats/gguf_model.h"
#include "formats/model_folder.h"
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
  kernels::LowRank q_adapter, k_adapter, v_adapter, o_adapter;
  bool is_moe = false;
  kernels::Ffn dense;               ///< where not is_moe
  kernels::Matrix router;           ///< [E, D] of floats; no rows for hash tables
  std::vector<float> router_bias;   ///< [E] or empty
  std::vector<int32_t> hash_table;  ///< [V, K] or empty
  std::vector<kernels::Ffn> experts;
  kernels::Ffn shared;  ///< no rows without shared experts
  bool has_shared() const { return shared.gate.rows > 0; }
  /// Whether what reads the layer's normed rows (queries, keys, values; gates, ups) is quantised, some of it at least.
  bool attention_reads_int8() const { return is_quantised(q.type) || is_quantised(k.type) || is_quantised(v.type); }
  bool ffn_reads_int8() const;
};

class Weights {
 public:
  /// A model folder or a GGUF file. Throws Error where it is neither, cannot be read, or is larger than the machine's
  /// memory.
  static Weights load(const base::fs::path& model);
  /// Both keep their files open and compute from the mapped bytes; F64 tensors, and any that lie at an odd address,
  /// become copies.
  static Weights from_folder(formats::ModelFolder folder);
  static Weights from_gguf(formats::GgufModel model);
  /// Tensors must be exactly those of the configuration; throws Error(kInvalid) naming the first that is not.
  static Weights from_tensors(const spec::ModelConfig& config, FloatTensors tensors);

  /// From now on these run beside the weights, unmerged; several on one matrix add up. Once. Throws Error(kInvalid)
  /// where one does not fit the model.
  void add_adapters(std::span<const formats::ScaledAdapter> adapters);

  const spec::ModelConfig& config() const { return config_; }
  const kernels::Matrix& embedding() const { return embedding_; }  ///< [V, D]
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const std::vector<float>& final_norm() const { return final_norm_; }
  const kernels::Matrix& head() const { return head_; }  ///< [V, D]
  /// True where the rows of q and k pair neighbours for the rotary embedding, as GGUF files have them
  /// (formats/gguf_model.h): outputs of such a product go through kernels::rope_pairs.
  bool pairs_neighbours() const { return pairs_neighbours_; }
  /// visit(matrix, share) for all matrices: `share` is the part of it that a token reads in the mean, K / E of a routed
  /// expert's, a row of the embedding, else 1.
  void for_each_matrix(const std::function<void(const kernels::Matrix& matrix, double share)>& visit) const;
  /// From now on no token waits for a page that nobody has read before: a mixture meets most experts late.
  void bring_into_memory() const;

 private:
  class Source;
  class FolderSource;
  class GgufSource;
  class MemorySource;
  Weights();
  void bind(const Source& source);
  void bind_mixture(const Source& source, int64_t layer, LayerWeights& weights);
  static Weights from_source(const spec::ModelConfig& config, std::shared_ptr<const Source> source);
  kernels::Matrix matrix(const Source& source, const std::string& name);
  kernels::Matrix own(std::vector<float> values, int64_t rows, int64_t cols);

  spec::ModelConfig config_;
  std::shared_ptr<const Source> source_;    // owns the bytes that matrices point to
  std::vector<std::vector<float>> copies_;  // or these do
  std::unique_ptr<std::pmr::memory_resource> narrow_copies_;
  kernels::Matrix embedding_, head_;
  std::vector<float> final_norm_;
  std::vector<LayerWeights> layers_;
  bool pairs_neighbours_ = false;
};

/// Throws Error(kInvalid) with both figures, and -q named, where `weights` bytes are more than `memory`.
void require_memory(uint64_t weights, uint64_t memory, const base::fs::path& model);

}  // namespace dsmoe::engine
