#include "formats/verified.h"

#include <sys/stat.h>

#include <cstdlib>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_checksum.h"
#include "formats/manifest.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using base::Json;
using Nanoseconds = std::chrono::nanoseconds;

constexpr const char* kFormat = "dsmoe verified 1";
constexpr uint64_t kLongestMemory = 64 << 20;

Nanoseconds since_epoch(const timespec& time) { return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec); }

// What a file is known by as long as nobody writes to it; empty where it is not there.
struct Identity {
  std::string text;
  Nanoseconds changed{0};
};

Identity identity_of(const fs::path& file, const std::string& checksum) {
  struct stat found {};
  if (::stat(file.c_str(), &found) != 0) return {};
  const Nanoseconds modified = since_epoch(found.st_mtim), changed = since_epoch(found.st_ctim);
  std::string text = checksum;
  for (const int64_t part : {static_cast<int64_t>(found.st_size), static_cast<int64_t>(found.st_dev),
                             static_cast<int64_t>(found.st_ino), int64_t{modified.count()}, int64_t{changed.count()}}) {
    text += " " + std::to_string(part);
  }
  return {text, std::max(modified, changed)};
}

/// What is remembered of one folder: identities by file name.
class Memory {
 public:
  Memory(const fs::path& memory, const fs::path& folder) {
    std::error_code error;
    const fs::path whole = fs::canonical(folder, error);
    if (memory.empty() || error) return;
    path_ = memory / (base::xxh3_128_hex(whole.string()) + ".json");
    try {
      if (!fs::exists(path_, error)) return;
      const Json read = base::parse_json(base::read_file(path_, kLongestMemory), path_.string());
      if (read.value("format", "") == kFormat && read.at("files").is_object()) files_ = read.at("files");
    } catch (const std::exception&) {
      // An unreadable memory is none: everything is read again.
    }
  }

  bool holds(const std::string& name, const std::string& identity) const {
    const auto found = files_.find(name);
    return found != files_.end() && found->is_string() && found->get<std::string>() == identity;
  }
  void add(const std::string& name, const std::string& identity) { files_[name] = identity; }
  // What cannot be remembered, on a full or read-only disk, is read again the next time.
  void write() const {
    if (path_.empty()) return;
    std::error_code error;
    fs::create_directories(path_.parent_path(), error);
    if (error) return;
    try {
      base::write_file(path_, base::dump_json(Json{{"format", kFormat}, {"files", files_}}) + "\n");
    } catch (const base::Error&) {
    }
  }

 private:
  fs::path path_;
  Json files_ = Json::object();
};

}  // namespace

fs::path verification_memory() {
  constexpr const char* kPlace = "dsmoe/verified";
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / kPlace;
  const char* home = std::getenv("HOME");
  std::error_code ignored;
  if (home == nullptr || *home != '/' || !fs::is_directory(home, ignored)) return {};
  return fs::path(home) / ".cache" / kPlace;
}

// Any two of its three marks are enough, so that damage to one of them does not pass for another program's file.
bool has_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  Json manifest;
  try {
    manifest = base::parse_json(base::read_file(path, kLongestManifest), path.string());
  } catch (const base::Error&) {
    return true;
  }
  if (!manifest.is_object()) return false;
  const auto files = manifest.find("files"), format = manifest.find("format"), own = manifest.find(base::kOwnChecksum);
  const int marks = (format != manifest.end() && *format == kManifestFormat) +
                    (own != manifest.end() && own->is_string()) + (files != manifest.end() && files->is_object());
  return marks >= 2;
}

uint64_t verify_once(const fs::path& folder, const VerifyOptions& options) {
  if (!has_manifest(folder)) return 0;
  const Json manifest = read_manifest(folder);
  Memory memory(options.memory, folder);
  std::vector<FilePromise> unread;
  std::vector<Identity> identities;
  uint64_t bytes = 0;
  for (FilePromise& promise : promises_of(manifest, folder)) {
    Identity identity = identity_of(folder / promise.name, promise.checksum);
    if (!identity.text.empty() && memory.holds(promise.name, identity.text)) continue;
    bytes += static_cast<uint64_t>(promise.bytes);
    unread.push_back(std::move(promise));
    identities.push_back(std::move(identity));
  }
  if (unread.empty()) return 0;
  verify_promises(folder, unread, options.parallel_for, [&](uint64_t read) { options.progress(read, bytes); });
  const Nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  bool learned = false;
  for (size_t i = 0; i < unread.size(); ++i) {
    if (now - identities[i].changed < options.settled) continue;
    memory.add(unread[i].name, identities[i].text);
    learned = true;
  }
  if (learned) memory.write();
  return bytes;
}

}  // namespace dsmoe::formats
