// The storage of a model: few large masters, seen under the many names of a checkpoint.
//
// q, k and v of a layer are one matrix, gate_proj and up_proj are one, and all routed experts are stacked: fewer and
// larger products, and an optimiser that walks a dozen tensors a layer instead of hundreds. Where adapters are trained,
// masters are frozen: no gradient, no moments. Where some experts are trained, each is a leaf of its own over its place
// in a master, and everything else is frozen. Where weights stay in a file, their masters have shapes and no memory
// (model/base_file.h). Where ranks have the experts between them, a stack is of this rank's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/adapters.h"
#include "model/transformer.h"
#include "moe/weight.h"
#include "spec/trained_experts.h"

namespace dsmoe::model {

/// Masters of one FFN: gate_up [2F, D] and down [D, F], or with a leading number of experts.
struct FfnMasters {
  Tensor gate_up, down;
};
struct LayerMasters {
  Tensor input_norm, qkv, out, post_norm;
  FfnMasters dense;           ///< of a layer without experts
  Tensor router;              ///< [E, D]; undefined for hash routers
  Tensor bias, hash_table;    ///< buffers, where the gate has them
  FfnMasters routed, shared;  ///< shared undefined without shared experts
};

class ParameterStore {
 public:
  ParameterStore(const spec::ModelConfig& config, const TransformerOptions& options);

  /// What is trained.
  const std::vector<Parameter>& parameters() const;
  const AdapterStore& adapters() const { return adapters_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  const std::vector<LayerMasters>& layers() const { return layers_; }
  /// The weight that layers see a master through; null for an undefined tensor. One weight for each master.
  moe::WeightPtr weight(const Tensor& master) const;
  /// A tensor's value, as the first expert rank needs it to save it. Every expert rank calls it; what it is on others
  /// is of no use.
  Tensor on_first_rank(const NamedTensor& tensor) const;
  const Tensor& embedding() const { return embedding_; }
  const Tensor& norm() const { return norm_; }
  const Tensor& head() const { return head_; }

 private:
  Tensor add(const std::string& name, const std::vector<int64_t>& sizes, spec::TensorRole role);
  Tensor add_named(const std::string& name, const std::vector<int64_t>& sizes, spec::TensorRole role);
  void view(const std::string& name, const MatrixPlace& place, int64_t rows);
  bool adapted() const { return options_.adapters.rank > 0; }
  bool frozen() const { return adapted() || options_.base || spec::names_experts(options_.adapters.targets); }
  bool in_file(spec::TensorRole role) const;
  void read_base();
  void stand_beside_masters();
  void train_experts();
  void train_in(const Tensor& master, int64_t layer, const std::vector<int64_t>& experts);
  FfnMasters add_ffn(const std::string& prefix, int64_t width);
  FfnMasters add_experts(const std::string& prefix);
  void name_parts(const std::string& owner, const FfnMasters& ffn, int64_t width, int64_t expert);
  LayerMasters add_layer(int64_t layer);
  void add_moe(int64_t layer, LayerMasters& masters);

  spec::ModelConfig config_;
  TransformerOptions options_;
  std::vector<Parameter> parameters_;  // of all masters
  std::vector<Parameter> experts_;     // that train while all else is frozen
  std::map<std::string, MatrixPlace> places_;
  std::shared_ptr<moe::PackedMemory> packed_memory_;  // where weights stay in a file
  AdapterStore adapters_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, Tensor> views_;  // undefined: on another rank
  std::map<std::string, int> ranks_;     // of experts' tensors, the rank that has it
  std::vector<LayerMasters> layers_;
  Tensor embedding_, norm_, head_;
};

}  // namespace dsmoe::model
