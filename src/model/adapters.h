// Adapters beside the matrices of a model that stays as it is (moe/adapter.h): their parameters, and the parts that
// each master's weight takes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "moe/adapter.h"

namespace dsmoe::model {

/// Where a matrix of the checkpoint lies in the model's storage.
struct MatrixPlace {
  Tensor master;
  int64_t first_row = 0;
  int64_t expert = -1;  ///< of a stack
};

class AdapterStore {
 public:
  AdapterStore() = default;
  /// `places` by tensor name. A and B have the type of their master and start at zero; `rank` 0: none at all. Throws
  /// Error(kInvalid) where a target names no matrix. With `memory` they are packed there for each product.
  AdapterStore(const AdapterOptions& options, const spec::ModelConfig& config,
               const std::map<std::string, MatrixPlace>& places, std::shared_ptr<moe::PackedMemory> memory = nullptr);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<AdaptedModule>& modules() const { return modules_; }
  /// What belongs to a master, in the order of its rows; empty: it has no adapter.
  std::vector<moe::AdapterPart> parts_of(const Tensor& master) const;

  /// A uniform within 1 / sqrt(its columns) as PEFT has it, by the module's name; B zero, so that nothing is added yet.
  void initialise(uint64_t seed) const;

 private:
  struct Group {
    MatrixPlace first;
    std::vector<spec::TensorSpec> tensors;  // one, or those of the experts
    std::vector<int64_t> experts;
    moe::WeightPtr a, b;
  };
  void add(Group& group);
  Tensor add_parameter(const std::string& name, const std::vector<int64_t>& sizes, const Tensor& like);

  AdapterOptions options_;
  std::shared_ptr<moe::PackedMemory> memory_;
  std::vector<Group> groups_;
  std::vector<Parameter> parameters_;
  std::vector<AdaptedModule> modules_;
};

}  // namespace dsmoe::model
