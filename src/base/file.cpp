#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/memory.h"

namespace dsmoe::base {
namespace {

// An open descriptor that closes itself: for reading, where close cannot lose anything.
struct ReadOnly {
  explicit ReadOnly(const fs::path& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd < 0) fail_io("file", "cannot open", path.string(), errno);
    struct stat status {};
    if (::fstat(fd, &status) != 0) fail_io("file", "cannot stat", path.string(), errno);
    if (!S_ISREG(status.st_mode)) {
      ::close(fd);
      fail(ErrorKind::kIo, "file", "not a regular file", path.string());
    }
    size = static_cast<uint64_t>(status.st_size);
  }
  ~ReadOnly() { ::close(fd); }
  int fd;
  uint64_t size = 0;
};

}  // namespace

std::string read_file(const fs::path& path, uint64_t longest) {
  const ReadOnly file(path);
  if (file.size > longest) {
    fail_invalid("file", "longer than " + std::to_string(longest) + " bytes",
                 path.string() + " has " + std::to_string(file.size));
  }
  std::string text(file.size, '\0');
  for (size_t at = 0; at < text.size();) {
    const ssize_t got = ::read(file.fd, text.data() + at, text.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("file", "cannot read", path.string(), errno);
    if (got == 0) fail(ErrorKind::kIo, "file", "became shorter while it was read", path.string());
    at += static_cast<size_t>(got);
  }
  return text;
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const ReadOnly file(path);
  size_ = file.size;
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (map == MAP_FAILED) fail_io("file", "cannot map", path.string(), errno);
  data_ = static_cast<const std::byte*>(map);
  prefer_large_pages(map, size_);
}

void let_go(std::span<const std::byte> mapped) {
  // whole pages only: the ends may hold a neighbour's bytes
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t begin = (address + page - 1) / page * page, end = (address + mapped.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace dsmoe::base
