// A folder of files at a place that a user named: appears whole, or not at all, whatever that place is.
//
// Where the name is free, the files are made in a hidden folder beside it, which is renamed (FolderWriter). Where a
// folder is there, even an empty one, they are made in a hidden folder inside it and moved up one by one: such a folder
// may be mounted, linked to, or lie in somebody else's, and none of these can be renamed over. The file without which
// the folder cannot be read comes last, so that a crash between two moves leaves no folder that seems whole.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace dsmoe::base {

/// What may happen to what a folder holds already. Without more, a folder that is there must be empty.
struct FolderPolicy {
  bool force = false;  ///< files of the output's own names may be replaced
  /// The names that such an output may be made of. Every such file that is there goes when the new ones come.
  std::function<bool(const std::string& name)> is_own = [](const std::string&) { return false; };
  bool beside_others = false;  ///< files of other names are no concern and stay; else they are a refusal
  std::string last;            ///< the file without which the folder cannot be read
};

/// The files in `folder` that an output of this policy replaces, that of `last` at the end. Throws Error(kIo) naming
/// what may not be replaced, is not the output's, or is no plain file. What file systems put into an empty folder
/// themselves (lost+found) does not count.
std::vector<std::string> replaced_files(const fs::path& folder, const FolderPolicy& policy);

/// The folders that `path` still lacks, itself included, the lowest first; a link to nothing is one of them.
std::vector<fs::path> missing_folders(const fs::path& path);
/// Removes those of the folders that hold nothing: what somebody has put something into stays.
void remove_empty(const std::vector<fs::path>& folders);

class FolderOutput {
 public:
  /// Throws Error(kIo) for what the policy does not allow. Folders above are made if need be.
  explicit FolderOutput(const fs::path& path, FolderPolicy policy = {}, FileSystem& files = real_files());
  /// Uncommitted, removes what it made, folders above included.
  ~FolderOutput();
  FolderOutput(const FolderOutput&) = delete;
  FolderOutput& operator=(const FolderOutput&) = delete;
  /// Where to make the files; no folders.
  const fs::path& path() const { return aside_ ? aside_->path() : working_; }
  void write_file(const std::string& name, std::string_view text);
  void commit();

 private:
  void move_up();
  fs::path final_;
  FolderPolicy policy_;
  FileSystem& files_;
  std::vector<fs::path> above_;        // folders made on the way, the lowest first
  std::optional<FolderWriter> aside_;  // where the name is free
  fs::path working_;                   // inside the folder that is there
  bool committed_ = false;
};

}  // namespace dsmoe::base
