// What a command was asked to write, checked before its work begins.
//
// The rule is the same in every command: what is there already is refused unless the user said --force; an output is
// none of the files that the command reads, by whatever name or link; and it can be written: its folder is there, takes
// a file, has room where the size is known. file.h and folder_output.h then write it, whole or not at all.
#pragma once

#include <vector>

#include "base/file.h"
#include "base/folder_output.h"

namespace dsmoe::base {

/// Throws Error: kUsage for an empty name or one of `inputs` (files; a folder stands for every file directly in it),
/// kIo for what is there without `force`, for a folder, and for what cannot be written, with the system's reason. Makes
/// and removes an empty hidden file beside the output to find out; pipes, devices and open files of this process
/// (/dev/stdout) are never "there already".
void require_output_file(const fs::path& path, bool force, const std::vector<fs::path>& inputs, uint64_t bytes = 0);

/// The same for a folder: what the policy does not allow, or would replace although it is one of `inputs`, is refused.
void require_output_folder(const fs::path& path, const FolderPolicy& policy, const std::vector<fs::path>& inputs,
                           uint64_t bytes = 0);

/// Throws Error(kUsage) where two outputs of one command are one file, by whatever names or links. Pipes and /dev/null
/// take both.
void require_different_outputs(const fs::path& one, const fs::path& other);

}  // namespace dsmoe::base
