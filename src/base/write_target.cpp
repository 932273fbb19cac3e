#include "base/write_target.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <random>

#include "base/error.h"

namespace dsmoe::base {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // as the kernel has it

// The number of an open file where the name is one of /proc/self/fd, as /dev/stdout and /dev/fd/3 are; else -1.
int own_descriptor(const fs::path& path) {
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (fault != std::errc() || end != name.data() + name.size() || number < 0) return -1;
  std::error_code error;
  const fs::path folder = fs::canonical(parent_of(path), error);
  return !error && folder == "/proc/" + std::to_string(::getpid()) + "/fd" ? number : -1;
}

// Links of /proc lead to what has no name that could be written to.
bool in_proc(const fs::path& path) {
  struct statfs system {};
  return ::statfs(parent_of(path).c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

// A file that is mounted itself, as containers do it, cannot be renamed over.
bool is_mounted(const fs::path& path) {
  struct statx status {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) == 0 &&
         (status.stx_attributes & status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

WriteTarget target_of(const fs::path& path, const struct stat& status) {
  WriteTarget target;
  target.path = path;
  target.mode = status.st_mode & 07777;
  target.owner = status.st_uid;
  target.group = status.st_gid;
  target.device = status.st_dev;
  target.inode = status.st_ino;
  target.holds_data = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
  if (S_ISDIR(status.st_mode)) {
    target.kind = WriteTarget::Kind::kFolder;
  } else if (S_ISREG(status.st_mode) && !is_mounted(path)) {
    target.kind = WriteTarget::Kind::kFile;
  } else {
    target.kind = WriteTarget::Kind::kDirect;
  }
  return target;
}

WriteTarget direct_target(const fs::path& path, int descriptor) {
  struct stat status {};
  WriteTarget target;
  target.kind = WriteTarget::Kind::kDirect;
  target.path = path;
  target.descriptor = descriptor;
  if (::stat(path.c_str(), &status) != 0) fail_io("output", "cannot be written to", path.string(), errno);
  target.device = status.st_dev;
  target.inode = status.st_ino;
  return target;
}

// A name whose folder is missing would else be found too long only once that is made.
void require_short_names(const fs::path& path) {
  for (const fs::path& name : path) {
    if (name.native().size() > NAME_MAX) fail_io("output", "a name is too long", path.string(), ENAMETOOLONG);
  }
}

}  // namespace

fs::path parent_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

const std::string& process_tag() {
  static const std::string tag = [] {
    constexpr char kDigits[] = "0123456789abcdef";
    std::random_device random;
    std::string text = std::to_string(::getpid()) + "-";
    for (int i = 0; i < 12; ++i) text += kDigits[random() % 16];
    return text;
  }();
  return tag;
}

fs::path working_name(const fs::path& path) {
  static std::atomic<uint64_t> count = 0;
  const std::string tail = ".tmp-" + process_tag() + "-" + std::to_string(count++);
  std::string name = path.filename().string();
  size_t kept = std::min(name.size(), NAME_MAX - tail.size() - 1);
  if (kept < name.size()) {  // not within a character: some file systems take UTF-8 only
    while (kept > 0 && (static_cast<unsigned char>(name[kept]) & 0xc0) == 0x80) --kept;
  }
  name.resize(kept);
  return parent_of(path) / ("." + name + tail);
}

WriteTarget find_write_target(const fs::path& path) {
  require_short_names(path);
  fs::path at = path;
  for (int links = 0; links < kMostLinks; ++links) {
    if (const int descriptor = own_descriptor(at); descriptor >= 0) return direct_target(at, descriptor);
    struct stat status {};
    if (::lstat(at.c_str(), &status) != 0) {
      if (errno != ENOENT) fail_io("output", "cannot be looked at", at.string(), errno);
      WriteTarget nothing;
      nothing.path = at;
      return nothing;
    }
    if (!S_ISLNK(status.st_mode)) return target_of(at, status);
    if (in_proc(at)) return direct_target(at, -1);
    std::error_code error;
    const fs::path to = fs::read_symlink(at, error);
    if (error) fail_io("output", "cannot follow the link", at.string(), error.value());
    at = parent_of(at) / to;
  }
  fail_io("output", "cannot follow the link", path.string(), ELOOP);
}

}  // namespace dsmoe::base
