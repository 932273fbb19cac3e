// A disk that fills up, for LD_PRELOAD: after DSMOE_TEST_DISK_BYTES bytes written to regular files, write() fails with
// ENOSPC, the last one after putting down what still fits. The program under test has no hook for this.
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

std::atomic<long long>& bytes_left() {
  static std::atomic<long long> left = [] {
    const char* text = std::getenv("DSMOE_TEST_DISK_BYTES");
    return text != nullptr ? std::atoll(text) : -1;
  }();
  return left;
}

bool is_regular(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

extern "C" ssize_t write(int fd, const void* bytes, size_t count) {
  static const auto real = reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(::dlsym(RTLD_NEXT, "write"));
  static const bool limited = bytes_left() >= 0;
  if (!limited || count == 0 || !is_regular(fd)) return real(fd, bytes, count);
  const long long fits = std::min<long long>(bytes_left(), static_cast<long long>(count));
  if (fits <= 0) {
    errno = ENOSPC;
    return -1;
  }
  const ssize_t put = real(fd, bytes, static_cast<size_t>(fits));
  if (put > 0) bytes_left() -= put;
  return put;
}
