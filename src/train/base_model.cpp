#include "train/base_model.h"

#include "formats/adapter_folder.h"

namespace dsmoe::train {

BaseModel base_model(const base::fs::path& path, const base::ParallelFor& parallel_for) {
  return {path, formats::hash_of_weights(path, parallel_for)};
}

std::shared_ptr<const formats::GgufModel> base_file(const base::fs::path& path) {
  std::error_code ignored;
  if (!base::fs::is_regular_file(path, ignored)) return nullptr;
  return std::make_shared<const formats::GgufModel>(formats::GgufModel::open(path));
}

}  // namespace dsmoe::train
