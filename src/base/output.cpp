#include "base/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/write_target.h"

namespace dsmoe::base {
namespace {

constexpr const char* kAnother = "name another output";

void require_name(const fs::path& path) {
  if (path.empty()) fail(ErrorKind::kUsage, "output", "the output needs a name", in_quotes(""), kAnother);
}

bool is_file_at(const fs::path& path, dev_t device, ino_t inode) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void refuse_input(const fs::path& output, const fs::path& input, dev_t device, ino_t inode) {
  if (!is_file_at(input, device, inode)) return;
  fail(ErrorKind::kUsage, "output", "the output is a file that is read",
       output == input ? output.string() : output.string() + " is " + input.string(), kAnother);
}

void refuse_inputs(const fs::path& output, dev_t device, ino_t inode, const std::vector<fs::path>& inputs) {
  for (const fs::path& input : inputs) {
    refuse_input(output, input, device, inode);
    std::error_code error;  // what cannot be listed is reported by whoever reads it
    for (fs::directory_iterator at(input, error), end; !error && at != end; at.increment(error)) {
      refuse_input(output, at->path(), device, inode);
    }
  }
}

// Permissions alone do not tell: root may everything, and a disk may be read-only.
void require_writable_folder(const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0)
    fail_io("output", "the folder cannot be written to", folder.string(), errno);
  if (!S_ISDIR(status.st_mode)) fail_io("output", "the folder cannot be written to", folder.string(), ENOTDIR);
  const fs::path probe = working_name(folder / "probe");
  const int fd = ::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) fail_io("output", "the folder cannot be written to", folder.string(), errno);
  ::close(fd);
  ::unlink(probe.c_str());
}

void require_writable_as_it_is(const WriteTarget& target) {
  bool writable = false;
  if (target.descriptor >= 0) {
    const int flags = ::fcntl(target.descriptor, F_GETFL);
    writable = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
    if (!writable) errno = EBADF;
  } else {
    writable = ::access(target.path.c_str(), W_OK) == 0;
  }
  if (!writable) fail_io("output", "cannot be written to", target.path.string(), errno);
}

}  // namespace

void require_output_file(const fs::path& path, bool force, const std::vector<fs::path>& inputs, uint64_t bytes) {
  require_name(path);
  const WriteTarget target = find_write_target(path);
  if (target.kind == WriteTarget::Kind::kFolder || !target.path.has_filename()) {
    fail(ErrorKind::kIo, "output", "a file is to be made, and this is a folder", path.string(), "add a file's name");
  }
  if (target.holds_data) {
    refuse_inputs(path, target.device, target.inode, inputs);
    if (!force) {
      fail(ErrorKind::kIo, "output", "the output is there already", path.string(),
           "name another, or --force replaces it");
    }
  }
  if (target.kind == WriteTarget::Kind::kDirect) return require_writable_as_it_is(target);
  require_writable_folder(parent_of(target.path));
  if (bytes > 0) require_free_space(parent_of(target.path), bytes, "output");
}

void require_different_outputs(const fs::path& one, const fs::path& other) {
  const WriteTarget a = find_write_target(one), b = find_write_target(other);
  if (a.kind == WriteTarget::Kind::kDirect && !a.holds_data) return;
  const bool there = a.kind != WriteTarget::Kind::kNothing && b.kind != WriteTarget::Kind::kNothing;
  std::error_code ignored;
  const bool same = there ? a.device == b.device && a.inode == b.inode
                          : fs::weakly_canonical(fs::absolute(a.path, ignored), ignored) ==
                                fs::weakly_canonical(fs::absolute(b.path, ignored), ignored);
  if (!same) return;
  fail(ErrorKind::kUsage, "output", "two outputs are one file",
       one == other ? one.string() : one.string() + " is " + other.string(), kAnother);
}

void require_output_folder(const fs::path& path, const FolderPolicy& policy, const std::vector<fs::path>& inputs,
                           uint64_t bytes) {
  require_name(path);
  const WriteTarget target = find_write_target(path.has_filename() ? path : path.parent_path());
  if (target.kind == WriteTarget::Kind::kFolder) {
    for (const std::string& name : replaced_files(target.path, policy)) {
      struct stat status {};
      const fs::path file = target.path / name;
      if (::stat(file.c_str(), &status) == 0) refuse_inputs(file, status.st_dev, status.st_ino, inputs);
    }
  } else if (target.kind != WriteTarget::Kind::kNothing) {
    fail(ErrorKind::kIo, "output", "a folder is to be made, and something else is there", path.string(), kAnother);
  }
  fs::path existing = target.path;
  std::error_code ignored;
  while (!fs::exists(fs::symlink_status(existing, ignored))) existing = parent_of(existing);
  require_writable_folder(existing);
  if (bytes > 0) require_free_space(existing, bytes, "output");
}

}  // namespace dsmoe::base
