// Text that a command reads from a file, a pipe or standard input.
#pragma once

#include <string>

namespace dsmoe::apps {

/// All of it: "-" is standard input, and a pipe or a device such as /dev/stdin or <(command) is read to its end. What
/// is no regular file may hold 1 GiB at most. A byte order mark in front is dropped. Throws Error(kIo), or
/// Error(kInvalid) for more than that.
std::string read_text(const std::string& path);

}  // namespace dsmoe::apps
