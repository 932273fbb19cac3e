// Which files of a folder are a model's: for whoever must not write over them, and for whoever replaces them.
#pragma once

#include <vector>

#include "base/folder_output.h"
#include "spec/model_config.h"

namespace dsmoe::formats {

/// The configuration of a model folder or a GGUF file. Throws Error as opening it does.
spec::ModelConfig config_of_model(const base::fs::path& model);

/// The files that opening this model may read: the file itself, or of a folder the weights, configurations and
/// tokenizer files, also some folders deep as in Hugging Face's cache.
std::vector<base::fs::path> model_files(const base::fs::path& model);

/// What may happen to what a model's folder holds: nothing, or with `force` the files that a ModelFolderWriter makes
/// are replaced and others stay.
base::FolderPolicy model_folder_policy(bool force);

}  // namespace dsmoe::formats
