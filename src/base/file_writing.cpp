// Writing: the calls that change a disk, and what makes files whole or absent out of them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/irregular.h"
#include "base/memory.h"
#include "base/write_target.h"

namespace dsmoe::base {
namespace {

// A file system that keeps large folios makes them as large as the pieces that are written, where those are aligned.
constexpr size_t kBuffer = kLargePage;

bool is_direct(const fs::path& path) { return find_write_target(path).kind == WriteTarget::Kind::kDirect; }

// As far as it is allowed: only root may give a file away, and some disks keep neither owner nor mode.
void take_permissions(const fs::path& path, const WriteTarget& from) {
  if (from.kind != WriteTarget::Kind::kFile) return;
  // the owner first, since a change of it takes bits of the mode away
  [[maybe_unused]] int ignored = ::chown(path.c_str(), from.owner, from.group);
  ignored = ::chmod(path.c_str(), from.mode);
}

}  // namespace

int FileSystem::create(const fs::path& path) {
  const WriteTarget target = find_write_target(path);
  int fd = -1;
  if (target.descriptor >= 0) {
    fd = ::fcntl(target.descriptor, F_DUPFD_CLOEXEC, 0);
  } else if (target.kind == WriteTarget::Kind::kDirect) {  // with O_CREAT, Linux may refuse somebody else's pipe
    fd = ::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  } else {
    fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
  if (fd < 0) fail_io("file", "cannot create", path.string(), errno);
  return fd;
}

// Of a regular file only: what cannot be cut back would keep half an entry, and without O_NONBLOCK opening a pipe waits
// for its reader.
int FileSystem::append(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
  if (fd < 0 && errno == ENXIO) refuse_irregular(path, "file");
  if (fd < 0) fail_io("file", "cannot open for appending", path.string(), errno);
  struct stat status {};
  const int result = ::fstat(fd, &status), number = errno;
  if (result == 0 && S_ISREG(status.st_mode)) return fd;
  ::close(fd);
  if (result != 0) fail_io("file", "cannot stat", path.string(), number);
  refuse_irregular(path, "file");
}

void FileSystem::write(int fd, const fs::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_io("file", "cannot write", path.string(), errno);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void FileSystem::write_at(int fd, const fs::path& path, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_io("file", "cannot write", path.string(), errno);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
}

void FileSystem::sync(int fd, const fs::path& path) {
  // EINVAL: a pipe or a device, which has nothing to fsync
  if (::fsync(fd) != 0 && errno != EINVAL) fail_io("file", "cannot fsync", path.string(), errno);
}

void FileSystem::close(int fd, const fs::path& path) {
  if (::close(fd) != 0) fail_io("file", "cannot close", path.string(), errno);
}

void FileSystem::rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_io("file", "cannot rename to", to.string(), errno);
}

void FileSystem::remove_all(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail_io("file", "cannot remove", path.string(), error.value());
}

void FileSystem::create_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_io("file", "cannot create the folder", path.string(), error.value());
}

void FileSystem::sync_directory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES) return;  // a folder that may be written in but not listed: the system decides when
  if (fd < 0) fail_io("file", "cannot open the folder", path.string(), errno);
  const int result = ::fsync(fd);
  const int number = errno;
  ::close(fd);
  if (result != 0 && number != EINVAL) fail_io("file", "cannot fsync the folder", path.string(), number);
}

void FileSystem::truncate(int fd, const fs::path& path, uint64_t size) {
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) fail_io("file", "cannot truncate", path.string(), errno);
}

void FileSystem::create_symlink(const fs::path& target, const fs::path& link) {
  if (::symlink(target.c_str(), link.c_str()) != 0) fail_io("file", "cannot create the link", link.string(), errno);
}

FileSystem& real_files() {
  static FileSystem files;
  return files;
}

FileWriter::FileWriter(const fs::path& path, FileSystem& files) : path_(path), files_(files), fd_(files.create(path)) {}

FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const auto some = bytes.first(std::min(bytes.size(), kBuffer - buffer_.size()));
    buffer_.append(reinterpret_cast<const char*>(some.data()), some.size());
    bytes = bytes.subspan(some.size());
    if (buffer_.size() == kBuffer) flush();
  }
}

void FileWriter::flush() {
  if (!buffer_.empty()) files_.write(fd_, path_, std::as_bytes(std::span(buffer_)));
  buffer_.clear();
}

void FileWriter::overwrite(uint64_t offset, std::string_view text) {
  DSMOE_CHECK(text.size() <= size_ && offset <= size_ - text.size(), "overwrite stays inside what is written");
  flush();
  files_.write_at(fd_, path_, offset, std::as_bytes(std::span(text)));
}

void FileWriter::finish() {
  flush();
  files_.sync(fd_, path_);
  files_.close(std::exchange(fd_, -1), path_);
}

// What can be renamed over is made under a working name; what cannot, under its own, and then the two are the same.
WholeFile::WholeFile(const fs::path& path, FileSystem& files)
    : final_(find_write_target(path).path),
      working_(is_direct(final_) ? final_ : working_name(final_)),
      files_(files),
      writer_(working_, files) {
  // At once: what replaces a private file is never for everybody's eyes.
  if (working_ != final_) take_permissions(working_, find_write_target(final_));
}

WholeFile::~WholeFile() {
  if (committed_) return;
  std::error_code ignored;
  if (working_ != final_) {
    ::unlink(working_.c_str());
  } else if (fs::is_regular_file(fs::symlink_status(final_, ignored))) {
    fs::resize_file(final_, 0, ignored);  // no half of a file stays
  }
}

void WholeFile::commit() {
  writer_.finish();
  if (working_ != final_) files_.rename(working_, final_);
  committed_ = true;
  if (working_ != final_) files_.sync_directory(parent_of(final_));
}

void write_file(const fs::path& path, std::string_view text, FileSystem& files) {
  WholeFile file(path, files);
  file.write(text);
  file.commit();
}

AppendLog::AppendLog(const fs::path& path, FileSystem& files) : path_(path), files_(files), fd_(files.append(path)) {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) {
    const int number = errno;
    ::close(fd_);
    fail_io("file", "cannot stat", path_.string(), number);
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

AppendLog::~AppendLog() { ::close(fd_); }

void AppendLog::write_waiting() {
  if (waiting_.empty()) return;
  try {
    files_.write(fd_, path_, std::as_bytes(std::span(waiting_)));
  } catch (const Error&) {
    files_.truncate(fd_, path_, size_);  // the part that did fit
    throw;
  }
  size_ += waiting_.size();
  waiting_.clear();
}

bool AppendLog::append(std::string_view entry) {
  constexpr size_t kMostWaiting = size_t{64} << 20;
  if (waiting_.size() + entry.size() > kMostWaiting) waiting_.clear();
  waiting_ += entry;
  try {
    write_waiting();
    return true;
  } catch (const Error& error) {
    error_ = error.what();
    return false;
  }
}

void AppendLog::sync() {
  write_waiting();
  files_.sync(fd_, path_);
}

void replace_symlink(const fs::path& target, const fs::path& link, FileSystem& files) {
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(link, ignored)) && !fs::is_symlink(link, ignored)) {
    fail(ErrorKind::kIo, "file", "a link is to be made where something else is", link.string(), "move it away");
  }
  const fs::path working = working_name(link);
  try {
    files.create_symlink(target, working);
    files.rename(working, link);
    files.sync_directory(parent_of(link));
  } catch (...) {
    ::unlink(working.c_str());
    throw;
  }
}

FolderWriter::FolderWriter(const fs::path& final_path, FileSystem& files)
    : final_(final_path.has_filename() ? final_path : final_path.parent_path()),
      working_(working_name(final_)),
      files_(files) {
  std::error_code ignored;
  if (fs::exists(final_) && !(fs::is_directory(final_) && fs::is_empty(final_, ignored))) {
    fail(ErrorKind::kIo, "file", "the output folder is there already and not empty", final_.string(),
         "name another or remove it");
  }
  files_.create_directory(working_);
}

FolderWriter::~FolderWriter() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(working_, ignored);
}

void FolderWriter::write_file(const std::string& name, std::string_view text) {
  FileWriter writer(working_ / name, files_);
  writer.write(text);
  writer.finish();
}

void FolderWriter::commit() {
  files_.sync_directory(working_);
  files_.rename(working_, final_);  // replaces an empty folder, refuses any other
  committed_ = true;
  files_.sync_directory(parent_of(final_));
}

void require_free_space(const fs::path& path, uint64_t bytes, std::string_view part) {
  if (is_direct(path)) return;  // no disk to ask
  std::error_code error;
  fs::path existing = fs::absolute(path, error);
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  if (error) fail_io(part, "cannot ask for free space at", existing.string(), error.value());
  if (space.available < bytes) {
    fail(ErrorKind::kIo, part, "not enough free space",
         std::to_string(bytes) + " bytes needed, " + std::to_string(space.available) + " free at " + existing.string());
  }
}

}  // namespace dsmoe::base
