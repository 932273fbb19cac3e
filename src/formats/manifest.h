// manifest.json: every file of a folder with its size and checksum, written last. What it names is whole, or the
// damage has a name.
//
//   {"format": "dsmoe manifest 1", ..., "files": {"NAME": {"bytes": 12, "xxh3_128": "32 hex digits"}, ...},
//    "xxh3_128": "of this object without this member, in one line"}
//
// The dots are members the writer adds (a step, a configuration's hash). Files that came later, such as a tokenizer
// laid beside the weights, are nobody's promise and are passed over. Names are plain; folders inside are not looked
// into.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"

namespace dsmoe::formats {

inline constexpr std::string_view kManifestFile = "manifest.json";
inline constexpr std::string_view kManifestFormat = "dsmoe manifest 1";
inline constexpr uint64_t kLongestManifest = 64 << 20;

/// Hashes the regular files of `folder` as they are on the disk and writes manifest.json beside them, atomically.
/// `further`: members to add; they must not be named format, files or xxh3_128.
void write_manifest(const base::fs::path& folder, const base::Json& further = {},
                    base::FileSystem& files = base::real_files(), const base::ParallelFor& parallel = base::serial_for);

/// The manifest, checked by its own checksum but without touching the files. Throws Error(kInvalid), or Error(kIo) when
/// it cannot be read.
base::Json read_manifest(const base::fs::path& folder);

/// The same, then every file it names: size and checksum. Throws Error(kInvalid) naming the first damaged or missing
/// file in the order of the manifest. Returns the manifest.
base::Json verify_manifest(const base::fs::path& folder, const base::ParallelFor& parallel = base::serial_for);

/// The size and checksum that a manifest states of one file.
struct FilePromise {
  std::string name;
  int64_t bytes;
  std::string checksum;
};
/// All of them, in the order of the manifest. Throws Error(kInvalid) for names that lead out of the folder.
std::vector<FilePromise> promises_of(const base::Json& manifest, const base::fs::path& folder);
/// Compares the files with what is promised of them, in parallel by files; `on_read` hears the bytes so far, one caller
/// at a time. Throws as verify_manifest() does.
void verify_promises(const base::fs::path& folder, std::span<const FilePromise> promises,
                     const base::ParallelFor& parallel, const std::function<void(uint64_t read)>& on_read);

/// XXH3-128 of a file's content; 32 hex digits. Throws Error(kIo).
std::string hash_file(const base::fs::path& path);

}  // namespace dsmoe::formats
