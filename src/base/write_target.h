// Where writing to a name ends: links followed, and what is there told apart. Not for opening what is read.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace dsmoe::base {

struct WriteTarget {
  enum class Kind {
    kNothing,  ///< no such name yet
    kFile,     ///< a regular file, which another can be renamed over
    kFolder,
    kDirect,  ///< a pipe, a device, an open file of this process, a file mounted on its own: written as it is
  };
  Kind kind = Kind::kNothing;
  std::filesystem::path path;  ///< where the last link leads
  int descriptor = -1;         ///< of kDirect: this process' own open file, such as /dev/stdout
  bool holds_data = false;     ///< what is there would be lost: a regular file, a block device
  mode_t mode = 0;             ///< of kFile and kFolder: permission bits
  uid_t owner = 0;             ///< of kFile
  gid_t group = 0;             ///< of kFile
  dev_t device = 0;            ///< with `inode`, the identity of what is there
  ino_t inode = 0;
};

/// Throws Error(kIo) where the system cannot say: a name too long, a circle of links, a folder that may not be
/// searched.
WriteTarget find_write_target(const std::filesystem::path& path);

/// The folder that holds a name; "." for a plain name.
std::filesystem::path parent_of(const std::filesystem::path& path);

/// A name for what is being made for `path`, hidden beside it: ".NAME.tmp-TAG-N", with a tag of this process' own, and
/// cut where the folder would not take so long a name. No two calls give the same.
std::filesystem::path working_name(const std::filesystem::path& path);
/// "PID-RANDOM": which process made a working name, sure enough to remove what a dead one left.
const std::string& process_tag();

}  // namespace dsmoe::base
