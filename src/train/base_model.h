// The model that adapters stand beside. It is read when a run begins and never written.
#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "base/parallel.h"
#include "formats/gguf_model.h"

namespace dsmoe::train {

struct BaseModel {
  base::fs::path path;
  std::string hash;  ///< formats::hash_of_weights
};
BaseModel base_model(const base::fs::path& path, const base::ParallelFor& parallel_for);

/// The model of a GGUF file, whose weights stay where they are; null for a model folder, which is loaded. Throws Error
/// where the file is no model.
std::shared_ptr<const formats::GgufModel> base_file(const base::fs::path& path);

}  // namespace dsmoe::train
