// The editor in a terminal of the system: a pair of ends, with a process of its own at one of them.
#include "terminal/raw_terminal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>

#include "terminal/line_editor.h"

namespace dsmoe::terminal {
namespace {

using ::testing::HasSubstr;

/// A process whose standard input and standard error are a terminal, and the other end of that.
class AtTerminal {
 public:
  explicit AtTerminal(const std::function<int()>& main) {
    end_ = ::posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT_EQ(::grantpt(end_), 0);
    EXPECT_EQ(::unlockpt(end_), 0);
    const int other = ::open(::ptsname(end_), O_RDWR | O_NOCTTY);
    const winsize size = {24, 40, 0, 0};
    ::ioctl(end_, TIOCSWINSZ, &size);
    other_ = other;
    child_ = ::fork();
    if (child_ == 0) {
      ::setenv("TERM", "xterm", 1);
      ::setsid();
      ::ioctl(other, TIOCSCTTY, 0);
      ::dup2(other, STDIN_FILENO);
      ::dup2(other, STDERR_FILENO);
      ::_exit(main());
    }
  }
  ~AtTerminal() {
    ::close(end_);
    ::close(other_);
  }
  void type(std::string_view bytes) const {
    EXPECT_EQ(::write(end_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  /// What has come so far, as soon as it has this in it.
  std::string until(std::string_view text) {
    while (seen_.find(text) == std::string::npos) {
      pollfd wait = {end_, POLLIN, 0};
      char bytes[4096];
      const ssize_t count = ::poll(&wait, 1, 20000) == 1 ? ::read(end_, bytes, sizeof bytes) : -1;
      if (count <= 0) {
        ADD_FAILURE() << text << " never came: " << seen_;
        return seen_;
      }
      seen_.append(bytes, static_cast<size_t>(count));
    }
    return seen_;
  }
  bool echoes() const {
    termios modes{};
    EXPECT_EQ(::tcgetattr(other_, &modes), 0);
    return (modes.c_lflag & ECHO) != 0 && (modes.c_lflag & ICANON) != 0;
  }
  void tell(int signal) const { ::kill(child_, signal); }
  void resize(unsigned short columns) const {
    const winsize size = {24, columns, 0, 0};
    EXPECT_EQ(::ioctl(end_, TIOCSWINSZ, &size), 0);  // the system tells the process by SIGWINCH
  }
  int wait() const {
    int status = 0;
    ::waitpid(child_, &status, 0);
    return status;
  }

 private:
  int end_ = -1, other_ = -1;
  pid_t child_ = -1;
  std::string seen_;
};

/// Reads a line and says what it was.
int read_one() {
  LineEditor editor({"/help"});
  const auto line = editor.read("> ", ". ");
  const std::string said = !line ? "[end]" : line->interrupted ? "[interrupted]" : "[" + line->text + "]";
  return ::write(STDERR_FILENO, said.data(), said.size()) < 0 ? 1 : 0;
}

TEST(LineEditor, ReadsALineAndLeavesTheTerminalAsItWas) {
  AtTerminal person(read_one);
  EXPECT_THAT(person.until("> "), HasSubstr("\x1b[?2004h"));
  EXPECT_FALSE(person.echoes());
  person.type(
      "hxllo\x1b[D\x1b[D\x1b[D\x7f"
      "e\r");
  EXPECT_THAT(person.until("[hello]"), HasSubstr("\x1b[?2004l"));
  EXPECT_EQ(person.wait(), 0);
  EXPECT_TRUE(person.echoes());
}

TEST(LineEditor, APasteOfThreeLinesIsOneQuestion) {
  AtTerminal person(read_one);
  person.until("> ");
  person.type("\x1b[200~one\rtwo\rthree\x1b[201~\r");
  person.until("[one\r\ntwo\r\nthree]");  // the terminal writes \n as \r\n
  EXPECT_EQ(person.wait(), 0);
}

TEST(LineEditor, WhatIsTypedAheadIsTheNextLine) {
  AtTerminal person([] {
    LineEditor editor;
    const auto one = editor.read("> ", ". "), two = editor.read("> ", ". ");
    const std::string said = "[" + one->text + "|" + two->text + "]";
    return ::write(STDERR_FILENO, said.data(), said.size()) < 0 ? 1 : 0;
  });
  person.until("> ");
  person.type("one\rtwo\r");
  person.until("[one|two]");
  EXPECT_EQ(person.wait(), 0);
}

TEST(LineEditor, EndAndInterruptAreToldApart) {
  for (const auto& [key, said] : {std::pair("\x04", "[end]"), std::pair("abc\x03", "[interrupted]")}) {
    AtTerminal person(read_one);
    person.until("> ");
    person.type(key);
    person.until(said);
    EXPECT_EQ(person.wait(), 0);
  }
}

TEST(LineEditor, AnotherSizeDrawsAgain) {
  AtTerminal person(read_one);
  person.until("> ");
  person.type("one two three four");
  person.until("four");
  person.resize(10);
  person.until("\r\nthree four");
  person.type("\r");
  person.until("[one two three four]");
  EXPECT_EQ(person.wait(), 0);
}

TEST(LineEditor, ASignalThatEndsTheProgramLeavesTheTerminalAsItWas) {
  AtTerminal person(read_one);
  person.until("> ");
  ASSERT_FALSE(person.echoes());
  person.tell(SIGTERM);
  const int status = person.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_TRUE(person.echoes());
  person.until("\x1b[?2004l");
}

TEST(LineEditor, CtrlZStopsAndTheTextIsThereAfterwards) {
  AtTerminal person(read_one);
  person.until("> ");
  person.type("half");
  person.until("half");
  person.type("\x1a");
  person.until("\x1b[?2004l");  // an orphaned group is not stopped, and goes on at once
  person.tell(SIGCONT);
  person.type(" a line\r");
  person.until("[half a line]");
  EXPECT_EQ(person.wait(), 0);
}

}  // namespace
}  // namespace dsmoe::terminal
