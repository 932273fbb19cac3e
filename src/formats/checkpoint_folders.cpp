#include "formats/checkpoint_folders.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "formats/adapter_folder.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;

constexpr std::string_view kPrefix = "step-";

// The number behind "step-", or -1 where a name is no checkpoint's.
int64_t step_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return -1;
  int64_t step = -1;
  const char* const end = name.data() + name.size();
  const auto [next, fault] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return fault == std::errc() && next == end ? step : -1;
}

bool holds(const fs::path& folder, std::string_view file) {
  std::error_code ignored;
  return fs::exists(folder / file, ignored);
}

// Ascending; `fault` where the folder cannot be listed.
std::vector<CheckpointFolder> folders_of_steps(const fs::path& folder, std::error_code& fault) {
  std::vector<CheckpointFolder> folders;
  std::error_code ignored;
  for (fs::directory_iterator at(folder, fault), end; !fault && at != end; at.increment(fault)) {
    const int64_t step = step_of(at->path().filename().string());
    if (step >= 0 && at->is_directory(ignored)) folders.push_back({step, at->path()});
  }
  std::ranges::sort(folders, {}, &CheckpointFolder::step);
  return folders;
}

}  // namespace

std::vector<CheckpointFolder> checkpoint_folders(const fs::path& folder) {
  std::error_code fault;
  std::vector<CheckpointFolder> folders = folders_of_steps(folder, fault);
  if (fault) base::fail_io("checkpoints", "cannot list", folder.string(), fault.value());
  return folders;
}

namespace {

fs::path newest_with(const fs::path& named, std::string_view file) {
  std::error_code fault;
  if (holds(named, file)) return named;
  const std::vector<CheckpointFolder> folders = folders_of_steps(named, fault);
  const auto newest = std::find_if(folders.rbegin(), folders.rend(),
                                   [&](const CheckpointFolder& each) { return holds(each.path, file); });
  return newest == folders.rend() ? named : newest->path;
}

}  // namespace

fs::path newest_model(const fs::path& named) { return newest_with(named, "config.json"); }
fs::path newest_adapter(const fs::path& named) { return newest_with(named, kAdapterConfig); }

std::string model_name(const fs::path& path) {
  std::error_code ignored;
  fs::path whole = fs::absolute(path, ignored).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  const std::string name = whole.filename().string(), above = whole.parent_path().filename().string();
  const bool checkpoint = name == "latest" || step_of(name) >= 0;
  return checkpoint && !above.empty() ? above + "/" + name : name;
}

}  // namespace dsmoe::formats
