#include "formats/manifest.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "base/json_checksum.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using base::fail_invalid;
using base::in_quotes;
using base::Json;

constexpr const char* kChecksum = base::kOwnChecksum;  // of each file, and of the manifest itself

std::vector<std::string> files_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->is_regular_file() && at->path().filename() != kManifestFile) names.push_back(at->path().filename());
  }
  if (error) base::fail_io("manifest", "cannot list", folder.string(), error.value());
  std::sort(names.begin(), names.end());
  return names;
}

// Empty when the file is as promised.
std::string damage_of(const fs::path& folder, const FilePromise& promise) {
  const fs::path path = folder / promise.name;
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) return "is missing or cannot be read";
  if (bytes != static_cast<uint64_t>(promise.bytes)) {
    return "has " + std::to_string(bytes) + " bytes, promised " + std::to_string(promise.bytes);
  }
  return hash_file(path) == promise.checksum ? "" : "differs from its checksum";
}

}  // namespace

std::string hash_file(const fs::path& path) {
  const base::MappedFile file(path);
  return base::xxh3_128_hex(base::as_text(file.bytes()));
}

void write_manifest(const fs::path& folder, const Json& further, base::FileSystem& files,
                    const base::ParallelFor& parallel) {
  const std::vector<std::string> names = files_of(folder);
  std::vector<Json> entries(names.size());
  parallel(static_cast<int64_t>(names.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const base::MappedFile file(folder / names[static_cast<size_t>(i)]);
      entries[static_cast<size_t>(i)] = {{"bytes", file.bytes().size()},
                                         {kChecksum, base::xxh3_128_hex(base::as_text(file.bytes()))}};
    }
  });
  Json manifest = {{"format", kManifestFormat}};
  if (further.is_object()) {
    for (const auto& [key, value] : further.items()) {
      DSMOE_CHECK(key != "format" && key != "files" && key != kChecksum, "a manifest's own members are not given");
      manifest[key] = value;
    }
  }
  Json::object_t list;
  for (size_t i = 0; i < names.size(); ++i) list.push_back({names[i], std::move(entries[i])});
  manifest["files"] = std::move(list);
  manifest[kChecksum] = base::json_checksum(manifest);
  base::write_file(folder / kManifestFile, base::dump_json(manifest, 1) + "\n", files);
}

Json read_manifest(const fs::path& folder) {
  const std::string where = (folder / kManifestFile).string();
  Json manifest = base::parse_json(base::read_file(where, kLongestManifest), where);
  const std::string format = base::require_string(manifest, "format", where);
  if (format != kManifestFormat) {
    fail_invalid(where, "format must be " + std::string(kManifestFormat), in_quotes(format));
  }
  base::require_json_checksum(manifest, "manifest", where);
  return manifest;
}

std::vector<FilePromise> promises_of(const Json& manifest, const fs::path& folder) {
  const std::string where = (folder / kManifestFile).string();
  const Json& files = base::require_member(manifest, "files", where);
  if (!files.is_object()) fail_invalid(where, "files must be an object", in_quotes(base::dump_json(files)));
  std::vector<FilePromise> promises;
  for (const auto& [name, file] : files.items()) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos) {
      fail_invalid(where, "files must be named by plain names", in_quotes(name));
    }
    promises.push_back(
        {name, base::require_int(file, "bytes", 0, INT64_MAX, where), base::require_string(file, kChecksum, where)});
  }
  return promises;
}

void verify_promises(const fs::path& folder, std::span<const FilePromise> promises, const base::ParallelFor& parallel,
                     const std::function<void(uint64_t read)>& on_read) {
  std::vector<std::string> damages(promises.size());
  std::mutex telling;
  uint64_t read = 0;
  parallel(static_cast<int64_t>(promises.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      damages[i] = damage_of(folder, promises[i]);
      const std::scoped_lock lock(telling);
      on_read(read += static_cast<uint64_t>(promises[i].bytes));
    }
  });
  for (size_t i = 0; i < promises.size(); ++i) {
    if (!damages[i].empty()) {
      fail_invalid("manifest", "a file is not what it was when it was written",
                   (folder / promises[i].name).string() + " " + damages[i], "use another copy");
    }
  }
}

Json verify_manifest(const fs::path& folder, const base::ParallelFor& parallel) {
  Json manifest = read_manifest(folder);
  verify_promises(folder, promises_of(manifest, folder), parallel, [](uint64_t) {});
  return manifest;
}

}  // namespace dsmoe::formats
