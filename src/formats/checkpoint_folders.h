// A run's checkpoints as folders: step-00001000, each a complete model folder.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dsmoe::formats {

struct CheckpointFolder {
  int64_t step = 0;
  base::fs::path path;
};

/// The folders named step-N in `folder`, steps ascending. Throws Error(kIo) where it cannot be listed.
std::vector<CheckpointFolder> checkpoint_folders(const base::fs::path& folder);

/// The model that a path means: of a folder that is no model itself but holds checkpoints (a run's), the newest one
/// with a config.json; any other path as it is. Never throws: whoever opens the path says what is wrong with it.
base::fs::path newest_model(const base::fs::path& named);
/// The same for adapters (adapter_folder.h).
base::fs::path newest_adapter(const base::fs::path& named);

/// What people call the model at `path`: its file's or folder's name, and for a run's checkpoint the run's name before
/// that ("first/step-00001000"). Links are not followed. Never throws.
std::string model_name(const base::fs::path& path);

}  // namespace dsmoe::formats
