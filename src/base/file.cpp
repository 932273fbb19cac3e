#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/irregular.h"
#include "base/memory.h"

namespace dsmoe::base {
namespace {

// What read(2) gives, through interruptions; 0 at the end.
size_t read_some(int fd, std::span<char> into, const fs::path& path) {
  ssize_t got;
  do {
    got = ::read(fd, into.data(), into.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) fail_io("file", "cannot read", path.string(), errno);
  return static_cast<size_t>(got);
}

[[noreturn]] void refuse_length(const fs::path& path, uint64_t longest, const std::string& found) {
  fail_invalid("file", "longer than " + std::to_string(longest) + " bytes", path.string() + found);
}

// The mappings of this process, for a signal handler: a list that only grows, whose free entries are used again. A
// handler reads an entry without a lock; that is safe because nobody frees the mapping in which it stands.
struct Mapping {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<size_t> size{0};
  std::string name;
  Mapping* next = nullptr;
};
std::atomic<Mapping*> mappings{nullptr};
std::mutex mappings_mutex;

Mapping* find_mapping(uintptr_t address) noexcept {
  for (Mapping* at = mappings.load(std::memory_order_acquire); at != nullptr; at = at->next) {
    const uintptr_t begin = at->begin.load(std::memory_order_acquire);
    if (begin != 0 && address >= begin && address - begin < at->size.load(std::memory_order_relaxed)) return at;
  }
  return nullptr;
}

void add_mapping(const void* begin, size_t size, const fs::path& path) {
  const std::lock_guard lock(mappings_mutex);
  Mapping* entry = mappings.load();
  while (entry != nullptr && entry->begin.load() != 0) entry = entry->next;
  const bool fresh = entry == nullptr;
  if (fresh) {
    entry = new Mapping;  // kept as long as the process: a handler may be walking the list
    entry->next = mappings.load();
  }
  entry->name = path.string();
  entry->size.store(size, std::memory_order_relaxed);
  entry->begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
  if (fresh) mappings.store(entry, std::memory_order_release);
}

void remove_mapping(const void* begin) noexcept {
  const std::lock_guard lock(mappings_mutex);
  if (Mapping* entry = find_mapping(reinterpret_cast<uintptr_t>(begin))) entry->begin.store(0);
}

}  // namespace

void refuse_irregular(const fs::path& path, std::string_view part) {
  std::error_code ignored;
  const fs::file_type type = fs::status(path, ignored).type();
  const char* kind = type == fs::file_type::fifo        ? " is a pipe"
                     : type == fs::file_type::socket    ? " is a socket"
                     : type == fs::file_type::directory ? " is a folder"
                                                        : " is a device";
  fail(ErrorKind::kIo, part, "not a regular file", path.string() + kind);
}

// Without O_NONBLOCK, opening a pipe waits for its other end.
ReadableFile::ReadableFile(const fs::path& path, std::string_view part)
    : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
  if (fd_ < 0 && errno == ENXIO) refuse_irregular(path, part);  // a socket, or a device without a driver
  if (fd_ < 0) fail_io(part, "cannot open", path.string(), errno);
  struct stat status {};
  const int result = ::fstat(fd_, &status), number = errno;
  if (result == 0 && S_ISREG(status.st_mode)) {
    size_ = static_cast<uint64_t>(status.st_size);
    return;
  }
  ::close(fd_);
  if (result != 0) fail_io(part, "cannot stat", path.string(), number);
  refuse_irregular(path, part);
}

ReadableFile::~ReadableFile() { ::close(fd_); }

std::string read_file(const fs::path& path, uint64_t longest) {
  const ReadableFile file(path);
  if (file.size() > longest) refuse_length(path, longest, " has " + std::to_string(file.size()));
  std::string text(file.size(), '\0');
  for (size_t at = 0; at < text.size();) {
    const size_t got = read_some(file.fd(), std::span(text).subspan(at), path);
    if (got == 0) fail(ErrorKind::kIo, "file", "became shorter while it was read", path.string());
    at += got;
  }
  return text;
}

std::string read_stream(const fs::path& path, uint64_t longest) {
  constexpr size_t kAtOnce = size_t{1} << 16;
  const bool standard = path == "-";
  const int fd = standard ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) fail_io("file", "cannot open", standard ? "standard input" : path.string(), errno);
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } const closer{fd};
  std::string text;
  for (size_t got = kAtOnce; got > 0;) {
    const size_t filled = text.size();
    if (filled > longest) refuse_length(path, longest, "");
    text.resize(filled + kAtOnce);
    got = read_some(fd, std::span(text).subspan(filled), path);
    text.resize(filled + got);
  }
  return text;
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const ReadableFile file(path);
  if (file.size() == 0) return;
  void* map = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (map == MAP_FAILED) fail_io("file", "cannot map", path.string(), errno);
  size_ = file.size();
  data_ = static_cast<const std::byte*>(map);
  add_mapping(data_, size_, path_);
  prefer_large_pages(map, size_);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  remove_mapping(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

const char* mapped_file_at(const void* address) noexcept {
  const Mapping* found = find_mapping(reinterpret_cast<uintptr_t>(address));
  return found == nullptr ? nullptr : found->name.c_str();
}

void let_go(std::span<const std::byte> mapped) {
  // whole pages only: the ends may hold a neighbour's bytes
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t begin = (address + page - 1) / page * page, end = (address + mapped.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace dsmoe::base
