// What a program makes sure of before anything else, and the signals that ask it to stop. Each in a process of its own.
#include "apps/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>

#include "apps/stop_signals.h"
#include "base/file.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

constexpr size_t kBytes = size_t{1} << 16;

class Process : public ::testing::Test {
 protected:
  Process() { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  base::TestFolder folder_;
};

char first_of(const void* bytes) { return *static_cast<const volatile char*>(bytes); }

TEST_F(Process, AMappedFileCutShortIsAMessage) {
  const auto use = [&] {
    prepare_process();
    const base::MappedFile other(folder_.write("other", "whole"));
    const base::MappedFile model(folder_.write("model.gguf", std::string(kBytes, 'x')));
    base::fs::resize_file(model.path(), 0);
    std::exit(first_of(model.bytes().data() + kBytes / 2));
  };
  EXPECT_EXIT(use(), ExitedWithCode(4), "error: \\[file\\].*model.gguf; it was cut short");
}

TEST_F(Process, AnotherBusErrorDiesAsEver) {
  const auto use = [&] {
    prepare_process();
    const int fd = ::open(folder_.write("file", std::string(kBytes, 'x')).c_str(), O_RDWR);
    const void* map = ::mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (::ftruncate(fd, 0) != 0) std::exit(99);
    std::exit(first_of(map));
  };
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer turns the signal into an exit";
#endif
  EXPECT_EXIT(use(), KilledBySignal(SIGBUS), "");
}

TEST_F(Process, NoFileGetsTheNumberOfAClosedStream) {
  for (const int closed : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const auto use = [&] {
      ::close(closed);
      prepare_process();
      const base::fs::path path = folder_ / "metrics";
      const int fd = base::real_files().append(path);
      char byte = 'x';
      const bool works = (closed == STDIN_FILENO ? ::read(closed, &byte, 1) : ::write(closed, &byte, 1)) >= 0;
      std::_Exit(fd > STDERR_FILENO && !works && base::fs::file_size(path) == 0 ? 0 : 1);
    };
    EXPECT_EXIT(use(), ExitedWithCode(0), "") << closed;
  }
}

TEST_F(Process, StopSignalsAskAndAnswer) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const auto use = [&] {
      ::signal(signal, SIG_DFL);
      const WorkSignals signals;
      if (signals.requested()) std::exit(1);
      ::raise(signal);
      std::exit(signals.requested() ? 0 : 2);
    };
    EXPECT_EXIT(use(), ExitedWithCode(0), "^stopping; once more to stop now\n$") << signal;
    const auto twice = [&] {
      ::signal(signal, SIG_DFL);
      const StopSignals signals;
      ::raise(signal);
      ::raise(signal);
    };
    EXPECT_EXIT(twice(), KilledBySignal(signal), "") << signal;
  }
}

// "dsmoe init ... 2>&1 | head -1" loses the reader of its progress, not what it makes.
TEST_F(Process, APipeThatNobodyReadsEndsNoWork) {
  const auto write = [](bool working) {
    ::signal(SIGPIPE, SIG_DFL);
    int ends[2];
    if (::pipe(ends) != 0) std::_Exit(99);
    ::close(ends[0]);
    std::optional<WorkSignals> signals;
    if (working) signals.emplace();
    const bool failed = ::write(ends[1], "x", 1) < 0 && errno == EPIPE;
    if (signals && signals->requested()) std::_Exit(1);
    signals.reset();
    struct sigaction after {};
    ::sigaction(SIGPIPE, nullptr, &after);
    std::_Exit(failed && after.sa_handler == SIG_DFL ? 0 : 2);
  };
  EXPECT_EXIT(write(true), ExitedWithCode(0), "");
  EXPECT_EXIT(write(false), KilledBySignal(SIGPIPE), "");
}

TEST_F(Process, AHangUpIgnoredAtTheStartStaysIgnored) {
  const auto use = [] {
    ::signal(SIGHUP, SIG_IGN);  // as nohup does
    const StopSignals signals;
    ::raise(SIGHUP);
    ::raise(SIGHUP);
    std::exit(signals.requested() ? 1 : 0);
  };
  EXPECT_EXIT(use(), ExitedWithCode(0), "");
}

}  // namespace
}  // namespace dsmoe::apps
