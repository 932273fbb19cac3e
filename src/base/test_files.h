// For tests only: a folder that goes away, files that fail on purpose, the line of an error.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace dsmoe::base {

inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

/// Without fsync, for tests that write thousands of files and mean none of them to last.
class UnsyncedFiles : public FileSystem {
 public:
  void sync(int, const fs::path&) override {}
  void sync_directory(const fs::path&) override {}
};
inline UnsyncedFiles unsynced_files;

/// An empty folder that no other object and no other process has, removed at the end of the scope; the name only tells
/// a person whose it was. In memory where the machine offers that: a busy disk makes thousands of small files slow.
class TestFolder {
 public:
  enum class Place { kMemory, kDisk };  ///< on the disk: what is large, or is about the disk itself

  explicit TestFolder(const std::string& name = program_invocation_short_name, Place place = Place::kMemory) {
    const bool memory = place == Place::kMemory && ::access("/dev/shm", W_OK | X_OK) == 0 &&
                        fs::space("/dev/shm").available >= uint64_t{1} << 30;  // a container's may be 64 MB
    std::string made = (memory ? fs::path("/dev/shm") : fs::temp_directory_path()) / ("dsmoe_" + name + "_XXXXXX");
    if (::mkdtemp(made.data()) == nullptr) fail_io("test", "cannot make a folder", made, errno);
    path_ = made;
  }
  ~TestFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  size_t count() const { return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {})); }
  /// A file of this text, and its path.
  fs::path write(const std::string& name, std::string_view text) const {
    write_file(path_ / name, text, unsynced_files);
    return path_ / name;
  }

 private:
  fs::path path_;
};

/// Fails the k-th call that changes the disk (writes after half of their bytes); `forever`: and every later one.
/// Tests run k = 1, 2, ... until a whole pass meets no failure.
class FailingFiles : public FileSystem {
 public:
  explicit FailingFiles(int fail_at, bool forever = false) : left_(fail_at), forever_(forever) {}
  bool failed() const { return failed_; }

  int create(const fs::path& path) override {
    tick(path);
    return FileSystem::create(path);
  }
  int append(const fs::path& path) override {
    tick(path);
    return FileSystem::append(path);
  }
  void write(int fd, const fs::path& path, std::span<const std::byte> bytes) override {
    if (left_ == 1 && bytes.size() > 1) FileSystem::write(fd, path, bytes.first(bytes.size() / 2));
    tick(path);
    FileSystem::write(fd, path, bytes);
  }
  void write_at(int fd, const fs::path& path, uint64_t offset, std::span<const std::byte> bytes) override {
    if (left_ == 1 && bytes.size() > 1) FileSystem::write_at(fd, path, offset, bytes.first(bytes.size() / 2));
    tick(path);
    FileSystem::write_at(fd, path, offset, bytes);
  }
  void sync(int fd, const fs::path& path) override {
    tick(path);
    FileSystem::sync(fd, path);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    tick(to);
    FileSystem::rename(from, to);
  }
  void create_directory(const fs::path& path) override {
    tick(path);
    FileSystem::create_directory(path);
  }
  void sync_directory(const fs::path& path) override {
    tick(path);
    FileSystem::sync_directory(path);
  }
  void truncate(int fd, const fs::path& path, uint64_t size) override {
    tick(path);
    FileSystem::truncate(fd, path, size);
  }
  void create_symlink(const fs::path& target, const fs::path& link) override {
    tick(link);
    FileSystem::create_symlink(target, link);
  }

 private:
  void tick(const fs::path& path) {
    if (left_ > 0) --left_;
    if (left_ > 0 || (failed_ && !forever_)) return;
    failed_ = true;
    fail_io("test", "injected", path.string(), ENOSPC);
  }
  int left_;
  bool forever_, failed_ = false;
};

}  // namespace dsmoe::base
