// Faults of the disk, for LD_PRELOAD; the program under test has no hook for this. After DSMOE_TEST_DISK_BYTES bytes
// written to regular files either the disk is full (write() fails with ENOSPC, the last one after putting down what
// still fits), or, with DSMOE_TEST_KILL_AT=n, the process dies by SIGKILL before the n-th further call that changes the
// disk or waits for it: a write, an fsync, a rename, a removal, a new folder or link.
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace {

long long number_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atoll(text) : -1;
}

std::atomic<long long>& bytes_left() {
  static std::atomic<long long> left = number_of("DSMOE_TEST_DISK_BYTES");
  return left;
}

// Functions, so that a call before main finds its values.
bool is_limited() {
  static const bool limited = bytes_left() >= 0;
  return limited;
}

bool kills() {
  static const bool kill = number_of("DSMOE_TEST_KILL_AT") >= 0;
  return kill;
}

void maybe_die() {
  static std::atomic<long long> calls_left = number_of("DSMOE_TEST_KILL_AT");
  if (!kills() || bytes_left() > 0) return;
  if (--calls_left < 0) ::kill(::getpid(), SIGKILL);
}

bool is_regular(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

template <class Function>
Function real(const char* name, Function) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t count) {
  static const auto next = real("write", &write);
  if (!is_limited() || count == 0 || !is_regular(fd)) return next(fd, bytes, count);
  if (kills()) {
    maybe_die();
    const ssize_t put = next(fd, bytes, count);
    if (put > 0) bytes_left() -= put;
    return put;
  }
  const long long fits = std::min<long long>(bytes_left(), static_cast<long long>(count));
  if (fits <= 0) {
    errno = ENOSPC;
    return -1;
  }
  const ssize_t put = next(fd, bytes, static_cast<size_t>(fits));
  if (put > 0) bytes_left() -= put;
  return put;
}

int fsync(int fd) {
  static const auto next = real("fsync", &fsync);
  maybe_die();
  return next(fd);
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = real("rename", &rename);
  maybe_die();
  return next(from, to);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto next = real("unlinkat", &unlinkat);
  maybe_die();
  return next(folder, path, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto next = real("mkdir", &mkdir);
  maybe_die();
  return next(path, mode);
}

int symlink(const char* target, const char* link) noexcept {
  static const auto next = real("symlink", &symlink);
  maybe_die();
  return next(target, link);
}

}  // extern "C"
