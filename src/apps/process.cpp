#include "apps/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace dsmoe::apps {
namespace {

// The null device opened the wrong way round: what is done to the stream fails with EBADF, as on a closed one.
void occupy(int stream) {
  if (::fcntl(stream, F_GETFD) >= 0) return;
  const int fd = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  if (fd < 0 || fd == stream) return;
  ::dup2(fd, stream);
  ::close(fd);
}

void say(const char* text) {
  const size_t length = std::strlen(text);
  if (::write(STDERR_FILENO, text, length) < 0) return;  // nobody left to tell
}

// Only calls that are safe in a signal handler.
void on_bus_error(int, siginfo_t* info, void*) {
  const char* file = base::mapped_file_at(info->si_addr);
  if (file == nullptr) {
    ::signal(SIGBUS, SIG_DFL);  // the instruction is run again and dies
    return;
  }
  say("error: [file] a mapped file cannot be read any more: ");
  say(file);
  say("; it was cut short while it was in use, or its disk fails\n");
  ::_exit(static_cast<int>(base::ErrorKind::kIo));
}

}  // namespace

void prepare_process() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) occupy(stream);
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
  ::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace dsmoe::apps
