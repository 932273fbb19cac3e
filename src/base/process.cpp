#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/error.h"

namespace dsmoe::base {
namespace {

constexpr const char* kPart = "process";

// How a child gives way to others. All of it is made before the fork.
struct Priority {
  explicit Priority(int niceness) : added(niceness) {
    const int own = ::getpriority(PRIO_PROCESS, 0);
    group = std::to_string(std::clamp(own + niceness, 0, 19));
  }
  int added;          ///< to the niceness of this process
  std::string group;  ///< the niceness of the child's session, as the system takes it
};

// Linux shares processors out among sessions first (sched(7), autogroups), and a niceness counts within its session
// only: beside what runs in another terminal it would be of no effect. So the child gets a session of its own, as nice
// as itself. A system without autogroups has no such file, and needs none.
void leave_session(const Priority& priority) {
  ::setsid();
  const int file = ::open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (file >= 0) (void)!::write(file, priority.group.data(), priority.group.size());
}

// What a child writes to.
struct Streams {
  int output, error, report;
};

// What becomes of a child; all of it is made before the fork.
struct Program {
  char* const* argv;
  char* const* environment;
  Streams streams;
  Priority priority;
  int stop_signal;
  bool own_group;
};

// Runs in the child between fork and exec, where only calls that are safe after a fork are allowed. A failure is
// written to its report as its errno.
[[noreturn]] void become(const Program& program, pid_t parent) {
  const auto& [argv, environment, streams, priority, stop_signal, own_group] = program;
  const auto fail = [report = program.streams.report] {
    const int fault = errno;
    (void)!::write(report, &fault, sizeof fault);
    ::_exit(127);
  };
  if (::prctl(PR_SET_PDEATHSIG, stop_signal) != 0) fail();
  if (::getppid() != parent) ::_exit(127);  // it died before it could be watched
  if (own_group && ::setpgid(0, 0) != 0) fail();
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing < 0 || ::dup2(nothing, 0) < 0 || ::dup2(streams.output, 1) < 0 || ::dup2(streams.error, 2) < 0) fail();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  errno = 0;
  if (priority.added != 0 && ::nice(priority.added) == -1 && errno != 0) fail();
  if (priority.added > 0) leave_session(priority);
  ::execve(argv[0], argv, environment);
  fail();
  ::_exit(127);
}

// A file for a stream of the child; closed again when the child has it.
class Stream {
 public:
  /// Without a file the stream is this process's `own`.
  Stream(const fs::path& file, int extra_flags, int own) : fd_(own), opened_(!file.empty()) {
    if (!opened_) return;
    fd_ = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | extra_flags, 0666);
    if (fd_ < 0) fail_io(kPart, "cannot be written", file.string(), errno);
  }
  ~Stream() {
    if (opened_) ::close(fd_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
  bool opened_;
};

// As exec takes a list of words.
std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> list;
  for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));
  list.push_back(nullptr);
  return list;
}

// This process's variables, those apart that `added` names anew.
std::vector<std::string> environment_with(std::vector<std::string> added) {
  const size_t count = added.size();
  for (char** own = environ; *own != nullptr; ++own) {
    const std::string variable = *own, name = variable.substr(0, variable.find('=') + 1);
    const auto replaces = [&](const std::string& other) { return other.rfind(name, 0) == 0; };
    if (std::none_of(added.begin(), added.begin() + static_cast<ptrdiff_t>(count), replaces)) added.push_back(variable);
  }
  return added;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& words, const Options& options)
    : stop_signal_(options.stop_signal) {
  const std::vector<char*> argv = pointers(words);
  const std::vector<std::string> variables = environment_with(options.environment);
  const std::vector<char*> environment = pointers(variables);
  const Stream log(options.log, O_APPEND, STDERR_FILENO);
  const Stream output(options.output, O_TRUNC, options.log.empty() ? STDOUT_FILENO : log.fd());
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) fail_io(kPart, "cannot make a pipe", words.front(), errno);
  const pid_t parent = ::getpid();
  const Streams streams{output.fd(), options.error < 0 ? log.fd() : options.error, report[1]};
  const Program program{argv.data(),         environment.data(), streams, Priority(options.niceness),
                        options.stop_signal, options.own_group};
  pid_ = ::fork();
  const int fork_fault = errno;
  if (pid_ == 0) become(program, parent);
  ::close(report[1]);
  int fault = 0;
  const bool failed = pid_ > 0 && ::read(report[0], &fault, sizeof fault) == static_cast<ssize_t>(sizeof fault);
  ::close(report[0]);
  if (pid_ < 0) fail_io(kPart, "cannot start", words.front(), fork_fault);
  if (failed) {
    wait();
    fail_io(kPart, "cannot start", words.front(), fault);
  }
}

ChildProcess::~ChildProcess() {
  send(stop_signal_);
  wait();
}

std::optional<int> ChildProcess::poll() {
  if (ended_) return ended_;
  int status = 0;
  const pid_t found = ::waitpid(pid_, &status, WNOHANG);
  if (found == pid_) ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended_;
}

int ChildProcess::wait() {
  int status = 0;
  while (!ended_) {
    const pid_t found = ::waitpid(pid_, &status, 0);
    if (found == pid_) {
      ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (errno != EINTR) {
      ended_ = 127;
    }
  }
  return *ended_;
}

void ChildProcess::send(int signal) {
  if (!poll()) ::kill(pid_, signal);
}

fs::path program_beside(const std::string& name) {
  std::error_code fault;
  const fs::path self = fs::read_symlink("/proc/self/exe", fault);
  if (fault) fail_io(kPart, "cannot find this program's own folder", "/proc/self/exe", fault.value());
  return self.parent_path() / name;
}

}  // namespace dsmoe::base
