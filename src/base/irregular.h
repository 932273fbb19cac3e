// What is no regular file, refused in the same words wherever one is needed.
#pragma once

#include <filesystem>
#include <string_view>

namespace dsmoe::base {

/// Throws Error(kIo) saying what `path` is instead: a pipe, a socket, a folder, a device.
[[noreturn]] void refuse_irregular(const std::filesystem::path& path, std::string_view part);

}  // namespace dsmoe::base
