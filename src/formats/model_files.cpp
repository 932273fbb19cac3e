#include "formats/model_files.h"

#include "formats/gguf_model.h"
#include "formats/model_folder.h"

namespace dsmoe::formats {

spec::ModelConfig config_of_model(const base::fs::path& model) {
  std::error_code ignored;
  if (base::fs::is_regular_file(model, ignored)) return GgufModel::open(model).config();
  return ModelFolder::open(model).config();
}

std::vector<base::fs::path> model_files(const base::fs::path& model) {
  constexpr int kDeepest = 3;
  std::error_code error;
  if (!base::fs::is_directory(model, error)) return {model};
  std::vector<base::fs::path> files;
  for (base::fs::recursive_directory_iterator at(model, error), end; !error && at != end; at.increment(error)) {
    if (at.depth() >= kDeepest) at.disable_recursion_pending();
    const base::fs::path ending = at->path().extension();
    if (ending == ".safetensors" || ending == ".json" || ending == ".jinja" || ending == ".model") {
      files.push_back(at->path());
    }
  }
  return files;
}

base::FolderPolicy model_folder_policy(bool force) {
  base::FolderPolicy policy;
  policy.force = policy.beside_others = force;
  policy.is_own = [](const std::string& name) {
    return (name.starts_with("model") && name.ends_with(".safetensors")) || name == kIndexFile ||
           name == "config.json" || name == "generation_config.json" || name == "README.md";
  };
  policy.last = "config.json";
  return policy;
}

}  // namespace dsmoe::formats
