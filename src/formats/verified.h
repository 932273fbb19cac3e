// Damage is noticed when a folder is opened, and a large folder pays for it once.
//
// A folder with a manifest.json is compared with it. A file that was found whole is remembered by its expected
// checksum, size, inode and times, in a small file for each folder in the user's cache, never in the folder itself; as
// long as none of these changes it is not read again. The cache is $XDG_CACHE_HOME/dsmoe/verified or else
// ~/.cache/dsmoe/verified. Where nothing can be remembered everything is read every time.
#pragma once

#include <chrono>
#include <functional>

#include "base/file.h"
#include "base/parallel.h"

namespace dsmoe::formats {

/// Where it is remembered by default; empty where the environment names no such place.
base::fs::path verification_memory();

struct VerifyOptions {
  base::ParallelFor parallel_for = base::serial_for;
  base::fs::path memory = verification_memory();  ///< empty: nothing is remembered
  /// A file that was changed less than this ago may change again under the same time: it is not remembered yet.
  std::chrono::nanoseconds settled = std::chrono::seconds(2);
  /// Told the bytes of files read so far, one caller at a time.
  std::function<void(uint64_t read, uint64_t total)> progress = [](uint64_t, uint64_t) {};
};

/// True where `folder` has a manifest.json of dsmoe's, damaged perhaps; other programs have files of that name too.
bool has_manifest(const base::fs::path& folder);

/// Compares the files of a folder that has_manifest() with it, those that are remembered as whole apart; returns how
/// many bytes were read. Does nothing for other folders. Throws Error(kInvalid) naming the first file that is damaged
/// or missing.
uint64_t verify_once(const base::fs::path& folder, const VerifyOptions& options = {});

}  // namespace dsmoe::formats
