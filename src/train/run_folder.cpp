#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "base/folder_output.h"
#include "base/write_target.h"
#include "formats/manifest.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;

constexpr std::string_view kPrefix = "step-";
constexpr const char* kLock = ".lock";
constexpr std::string_view kLockHead = "dsmoe train ";  // and a process' tag
constexpr const char* kLatest = "latest";

// A checkpoint that somebody copied or renamed, which is not the run's to remove.
bool is_under_anothers_name(const CheckpointPlace& place) {
  try {
    const base::Json manifest = formats::read_manifest(place.path);
    return base::require_int(manifest, "step", 0, INT64_MAX, place.path.string()) != place.step;
  } catch (const base::Error&) {
    return false;  // damaged, which does not make it another's
  }
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

std::string name_of_step(int64_t step) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%08lld", static_cast<long long>(step));
  return std::string(kPrefix) + digits;
}

// What a lock says; longer than any tag where it is somebody's text.
std::string text_of(int file) {
  std::string text(64, '\0');
  const ssize_t got = ::pread(file, text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

}  // namespace

int64_t step_of_name(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = 0;
  const std::errc fault = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step).ec;
  return fault == std::errc() && step >= 0 && name == name_of_step(step) ? step : -1;
}

RunFolder::RunFolder(const fs::path& path, base::FileSystem& files) : path_(path), files_(files) {
  made_folders_ = base::missing_folders(path_);
  try {
    files_.create_directory(path_);
    take_lock();
  } catch (...) {
    base::remove_empty(made_folders_);
    throw;
  }
  try {
    require_free_names();
    remove_leftovers();
  } catch (...) {
    remove_lock();
    ::close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  try {
    if (!fs::exists(path_ / "run.toml") && !in_use()) remove_lock();  // it was refused before it began
  } catch (const std::exception&) {  // a folder that cannot be listed any more keeps its lock
  }
  ::close(lock_);
}

void RunFolder::take_lock() {
  const fs::path lock = path_ / kLock;
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  made_lock_ = lock_ >= 0;
  if (lock_ < 0 && errno == EEXIST) lock_ = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (lock_ < 0) base::fail_io("train", "cannot open the output folder's lock", lock.string(), errno);
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(lock_);
  base::fail(base::ErrorKind::kIo, "train", "another process is training in the output folder", path_.string(),
             "wait for it, stop it, or name another output.dir");
}

// A folder with a lock or a checkpoint is a run's, and what a run writes in it is its own.
void RunFolder::require_free_names() const {
  const auto require_free = [&](const char* name) {
    base::fail(base::ErrorKind::kIo, "train", "the output folder holds a file that a run would write over",
               (path_ / name).string(), "move it away, or name another output.dir");
  };
  const auto there = [&](const char* name) { return fs::symlink_status(path_ / name); };
  if (fs::exists(there(kLatest)) && !fs::is_symlink(there(kLatest))) require_free(kLatest);
  if (fs::exists(there("tensorboard")) && !fs::is_directory(path_ / "tensorboard")) require_free("tensorboard");
  if (!made_lock_ || !checkpoints().empty()) return;
  for (const char* name : {"run.toml", "metrics.jsonl", kRunPage}) {
    if (fs::exists(there(name))) require_free(name);
  }
}

// The lock goes again, and of the folders that were made here those that are empty.
void RunFolder::remove_lock() {
  if (!made_lock_) return;
  ::unlink((path_ / kLock).c_str());
  base::remove_empty(made_folders_);
}

fs::path RunFolder::checkpoint_path(int64_t step) const { return path_ / name_of_step(step); }

void RunFolder::require_checkpoint_names() const {
  for (const fs::path& path : entries_of(path_)) {
    if (!path.filename().string().starts_with(kPrefix) || step_of_name(path) >= 0) continue;
    std::error_code ignored;
    if (!fs::exists(path / formats::kManifestFile, ignored)) continue;
    base::fail_invalid(
        "train", "a checkpoint's name must be of its step", path.string(),
        "give it the name that it had, such as " + name_of_step(1000) + ", or move it out of the folder");
  }
}

std::vector<CheckpointPlace> RunFolder::checkpoints() const {
  std::vector<CheckpointPlace> places;
  for (const fs::path& path : entries_of(path_)) {
    const int64_t step = step_of_name(path);
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

// Only the owner of the lock makes working names here, and the lock says who that was: whatever bears its tag was left
// by it, and it is dead, or it would still hold the lock. A lock that says something else is left as it is.
void RunFolder::remove_leftovers() {
  const std::string before = text_of(lock_);
  if (!before.empty() && !before.starts_with(kLockHead)) return;
  const std::string tag = before.substr(std::min(before.size(), kLockHead.size()));
  for (const fs::path& path : entries_of(path_)) {
    const std::string name = path.filename().string();
    if (tag.empty() || !name.starts_with('.') || name.find(".tmp-" + tag) == name.npos) continue;
    files_.remove_all(path);
  }
  const std::string now = std::string(kLockHead) + base::process_tag();
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, now.data(), now.size(), 0) != std::ssize(now)) {
    base::fail_io("train", "cannot write the output folder's lock", (path_ / kLock).string(), errno);
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
  base::replace_symlink(checkpoint_path(step).filename(), path_ / kLatest, files_);
  std::vector<CheckpointPlace> places = checkpoints();
  std::erase_if(places, [](const CheckpointPlace& place) { return is_under_anothers_name(place); });
  for (size_t i = 0; i + static_cast<size_t>(keep) < places.size() && places[i].step < step; ++i) {
    // renamed first: a removal that is cut short leaves no half checkpoint under a checkpoint's name
    const fs::path dying = base::working_name(places[i].path);
    files_.rename(places[i].path, dying);
    files_.remove_all(dying);
  }
}

}  // namespace dsmoe::train
