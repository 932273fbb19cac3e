#include "base/folder_output.h"

#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/write_target.h"

namespace dsmoe::base {
namespace {

// In order, the file that stands for the whole at the end.
std::vector<std::string> names_in(const fs::path& folder, const std::string& last) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  if (error) fail_io("output", "cannot list the folder", folder.string(), error.value());
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return std::pair(a == last, std::string_view(a)) < std::pair(b == last, std::string_view(b));
  });
  return names;
}

// Renames that are all done or all undone.
class Moves {
 public:
  explicit Moves(FileSystem& files) : files_(files) {}
  ~Moves() {
    if (kept_) return;
    for (auto move = done_.rbegin(); move != done_.rend(); ++move) {
      ::rename(move->second.c_str(), move->first.c_str());
    }
  }
  Moves(const Moves&) = delete;
  Moves& operator=(const Moves&) = delete;
  void move(const fs::path& from, const fs::path& to) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(to, ignored))) {
      fail(ErrorKind::kIo, "output", "a file came into the output folder meanwhile", to.string());
    }
    files_.rename(from, to);
    done_.emplace_back(from, to);
  }
  void keep() { kept_ = true; }

 private:
  FileSystem& files_;
  std::vector<std::pair<fs::path, fs::path>> done_;
  bool kept_ = false;
};

}  // namespace

std::vector<fs::path> missing_folders(const fs::path& path) {
  std::vector<fs::path> missing;
  std::error_code ignored;
  for (fs::path at = path.has_filename() ? path : path.parent_path(); !fs::exists(at, ignored); at = parent_of(at)) {
    missing.push_back(at);
  }
  return missing;
}

void remove_empty(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) ::rmdir(folder.c_str());
}

std::vector<std::string> replaced_files(const fs::path& folder, const FolderPolicy& policy) {
  std::vector<std::string> names;
  for (const std::string& name : names_in(folder, policy.last)) {
    const fs::path path = folder / name;
    std::error_code ignored;
    const fs::file_status status = fs::symlink_status(path, ignored);
    const bool system_made = name == "lost+found" || name.find(".tmp-" + process_tag()) != name.npos;
    if (fs::is_directory(status) && system_made) continue;
    const bool own = policy.is_own(name);
    if (own && !fs::is_regular_file(status)) {
      fail(ErrorKind::kIo, "output", "what is in the way is no plain file", path.string(), "move it away");
    }
    if (own && !policy.force) {
      fail(ErrorKind::kIo, "output", "the output is there already", path.string(),
           "name another folder, or --force replaces it");
    }
    if (!own && !policy.beside_others) {
      fail(ErrorKind::kIo, "output", "the output folder is there already and not empty",
           folder.string() + " holds " + in_quotes(name), "name another folder, or move that away");
    }
    if (own) names.push_back(name);
  }
  return names;
}

FolderOutput::FolderOutput(const fs::path& path, FolderPolicy policy, FileSystem& files)
    : policy_(std::move(policy)), files_(files) {
  const WriteTarget target = find_write_target(path.has_filename() ? path : path.parent_path());
  final_ = target.path;
  if (target.kind == WriteTarget::Kind::kFolder) {
    replaced_files(final_, policy_);
    working_ = working_name(final_ / "new");
    files_.create_directory(working_);
    return;
  }
  if (target.kind != WriteTarget::Kind::kNothing) {
    fail(ErrorKind::kIo, "output", "a folder is to be made, and something else is there", path.string(),
         "name another");
  }
  above_ = missing_folders(parent_of(final_));
  try {
    aside_.emplace(final_, files_);
  } catch (...) {
    remove_empty(above_);
    throw;
  }
}

FolderOutput::~FolderOutput() {
  if (committed_) return;
  std::error_code ignored;
  if (!working_.empty()) fs::remove_all(working_, ignored);
  aside_.reset();
  remove_empty(above_);
}

void FolderOutput::write_file(const std::string& name, std::string_view text) {
  FileWriter writer(path() / name, files_);
  writer.write(text);
  writer.finish();
}

// What is replaced goes to a hidden folder first, so that a move that fails leaves the folder as it was.
void FolderOutput::move_up() {
  std::error_code ignored;
  const std::vector<std::string> old = replaced_files(final_, policy_);
  const fs::path away = working_name(final_ / "old");
  if (!old.empty()) files_.create_directory(away);
  try {
    Moves moves(files_);
    for (auto name = old.rbegin(); name != old.rend(); ++name) {  // the one that stands for the whole first
      if (fs::exists(working_ / *name)) {
        fs::permissions(working_ / *name, fs::status(final_ / *name).permissions(), ignored);
      }
      moves.move(final_ / *name, away / *name);
    }
    for (const std::string& name : names_in(working_, policy_.last)) moves.move(working_ / name, final_ / name);
    files_.sync_directory(final_);
    moves.keep();
  } catch (...) {
    ::rmdir(away.c_str());
    throw;
  }
  committed_ = true;
  fs::remove_all(away, ignored);
  fs::remove_all(working_, ignored);
}

void FolderOutput::commit() {
  if (aside_) {
    aside_->commit();
    committed_ = true;
  } else {
    files_.sync_directory(working_);
    move_up();
  }
}

}  // namespace dsmoe::base
