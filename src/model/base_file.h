// A base model whose weights stay in a mapped GGUF file while adapters train beside them.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "formats/gguf_model.h"
#include "model/adapters.h"
#include "moe/stored_weight.h"

namespace dsmoe::model {

class BaseFile {
 public:
  /// `type` is that of the model's masters. Throws Error(kInvalid) where the file is of another configuration.
  BaseFile(std::shared_ptr<const formats::GgufModel> file, const spec::ModelConfig& config, torch::ScalarType type);

  /// The weight that a master without memory stands for, made of the tensors whose places in it are known by their
  /// names. Throws Error(kInvalid) where one lies at an address that kernels cannot read.
  moe::WeightPtr weight(const Tensor& master, const std::map<std::string, MatrixPlace>& places) const;
  /// Where its weights take turns to be packed.
  const std::shared_ptr<moe::PackedMemory>& memory() const { return memory_; }
  /// Norms, routers, router biases and hash tables: into the tensor's memory.
  void read(const NamedTensor& tensor) const;

 private:
  moe::StoredMatrix matrix(const std::string& name) const;

  std::shared_ptr<const formats::GgufModel> file_;
  torch::ScalarType type_;
  std::shared_ptr<moe::PackedMemory> memory_;
};

}  // namespace dsmoe::model
