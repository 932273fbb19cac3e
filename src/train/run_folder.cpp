#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "formats/manifest.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;

constexpr std::string_view kPrefix = "step-";

// The step of a checkpoint's name, or -1.
int64_t step_of(const std::string& name) {
  if (name.rfind(kPrefix, 0) != 0 || name.size() < kPrefix.size() + 8) return -1;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end ? step : -1;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    paths.push_back(at->path());
  }
  if (error) base::fail_io("train", "cannot list", folder.string(), error.value());
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

RunFolder::RunFolder(const fs::path& path, base::FileSystem& files) : path_(path), files_(files) {
  files_.create_directory(path_);
  const fs::path lock = path_ / ".lock";
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) base::fail_io("train", "cannot open the output folder's lock", lock.string(), errno);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    base::fail(base::ErrorKind::kIo, "train", "another process is training in the output folder", path_.string(),
               "wait for it, stop it, or name another output.dir");
  }
  remove_leftovers();
}

RunFolder::~RunFolder() { ::close(lock_); }

fs::path RunFolder::checkpoint_path(int64_t step) const {
  char name[40];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return path_ / name;
}

std::vector<CheckpointPlace> RunFolder::checkpoints() const {
  std::vector<CheckpointPlace> places;
  for (const fs::path& path : entries_of(path_)) {
    const int64_t step = step_of(path.filename().string());
    if (step >= 0 && fs::is_directory(path)) places.push_back({step, path});
  }
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return places;
}

bool RunFolder::in_use() const { return fs::exists(path_ / "metrics.jsonl") || !checkpoints().empty(); }

CheckpointSearch RunFolder::find_newest(const base::ParallelFor& parallel) const {
  CheckpointSearch search;
  const std::vector<CheckpointPlace> places = checkpoints();
  for (auto place = places.rbegin(); place != places.rend(); ++place) {
    try {
      formats::verify_manifest(place->path, parallel);
      search.newest = *place;
      return search;
    } catch (const base::Error& error) {
      search.damaged.push_back(place->path.string() + " is damaged: " + error.what());
    }
  }
  if (!places.empty()) {
    base::fail(base::ErrorKind::kNoCheckpoint, "train", "no checkpoint is usable", search.damaged.front(),
               "restore one of " + std::to_string(places.size()) + " from a copy, or start in another output.dir");
  }
  return search;
}

// Only the owner of the lock makes temporary names here, so whatever is left is from a process that died.
void RunFolder::remove_leftovers() {
  for (const fs::path& path : entries_of(path_)) {
    const std::string name = path.filename().string();
    if (name.rfind('.', 0) == 0 && name.find(".tmp-") != std::string::npos) files_.remove_all(path);
  }
}

std::vector<std::string> RunFolder::set_aside_after(int64_t step) {
  std::vector<std::string> names;
  for (const CheckpointPlace& place : checkpoints()) {
    if (place.step <= step) continue;
    const std::string name = "aside-" + place.path.filename().string();
    fs::path to = path_ / name;
    for (int n = 2; fs::exists(to); ++n) to = path_ / (name + "-" + std::to_string(n));
    files_.rename(place.path, to);
    names.push_back(to.string());
  }
  if (!names.empty()) files_.sync_directory(path_);
  return names;
}

void RunFolder::publish(int64_t step, int64_t keep) {
  base::replace_symlink(checkpoint_path(step).filename(), path_ / "latest", files_);
  std::vector<CheckpointPlace> places = checkpoints();
  for (size_t i = 0; i + static_cast<size_t>(keep) < places.size() && places[i].step < step; ++i) {
    // renamed first: a removal that is cut short leaves no half checkpoint under a checkpoint's name
    const fs::path dying = path_ / ("." + places[i].path.filename().string() + ".tmp-removed");
    files_.remove_all(dying);
    files_.rename(places[i].path, dying);
    files_.remove_all(dying);
  }
}

}  // namespace dsmoe::train
