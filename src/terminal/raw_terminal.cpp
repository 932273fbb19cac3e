#include "terminal/raw_terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace dsmoe::terminal {
namespace {

constexpr std::string_view kMarkPastes = "\x1b[?2004h", kDoNotMarkPastes = "\x1b[?2004l";
constexpr std::array kEnding = {SIGTERM, SIGHUP, SIGQUIT, SIGINT};
constexpr std::array kTold = {SIGWINCH, SIGCONT};

// What signal handlers need: the terminal as it was, and a pipe into which a signal that was caught writes its number,
// so that a wait ends whichever thread the signal met.
termios g_before;
int g_pipe[2] = {-1, -1};
std::array<struct sigaction, kEnding.size()> g_old_ending;
std::array<struct sigaction, kTold.size()> g_old_told;

void put(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return;  // nobody looks any more
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void enter() {
  termios raw = g_before;
  raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL | INLCR | IXON);
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  put(kMarkPastes);
}

void leave() {
  put(kDoNotMarkPastes);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &g_before);
}

void on_ending(int number) {
  leave();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void on_told(int number) {
  const int before = errno;
  const auto byte = static_cast<char>(number);
  [[maybe_unused]] const ssize_t ignored = ::write(g_pipe[1], &byte, 1);
  errno = before;
}

}  // namespace

bool can_edit() {
  const char* name = std::getenv("TERM");
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1 && name != nullptr && *name != '\0' &&
         std::string_view(name) != "dumb";
}

RawTerminal::RawTerminal() {
  if (g_pipe[0] < 0 && ::pipe2(g_pipe, O_CLOEXEC | O_NONBLOCK) != 0) g_pipe[0] = g_pipe[1] = -1;
  ::tcgetattr(STDIN_FILENO, &g_before);
  struct sigaction action {};
  for (size_t i = 0; i < kEnding.size(); ++i) {
    ::sigaction(kEnding[i], nullptr, &g_old_ending[i]);
    action.sa_handler = on_ending;
    if (g_old_ending[i].sa_handler == SIG_DFL) ::sigaction(kEnding[i], &action, nullptr);
  }
  action.sa_handler = on_told;
  for (size_t i = 0; i < kTold.size(); ++i) ::sigaction(kTold[i], &action, &g_old_told[i]);
  enter();
}

RawTerminal::~RawTerminal() {
  leave();
  for (size_t i = 0; i < kTold.size(); ++i) ::sigaction(kTold[i], &g_old_told[i], nullptr);
  for (size_t i = 0; i < kEnding.size(); ++i) ::sigaction(kEnding[i], &g_old_ending[i], nullptr);
}

RawTerminal::Event RawTerminal::wait(std::string& bytes) {
  std::array<pollfd, 2> waits = {pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{g_pipe[0], POLLIN, 0}};
  for (;;) {
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return Event::kEnd;
    }
    if (waits[1].revents != 0) {
      bool continued = false;
      for (char number = 0; ::read(g_pipe[0], &number, 1) == 1;) continued = continued || number == SIGCONT;
      if (continued) enter();
      return continued ? Event::kContinued : Event::kResized;
    }
    if (waits[0].revents == 0) continue;
    bytes.resize(1 << 16);
    const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return count > 0 ? Event::kInput : Event::kEnd;
  }
}

ScreenSize RawTerminal::size() const { return window_size(STDERR_FILENO).value_or(ScreenSize()); }

void RawTerminal::write(std::string_view bytes) const { put(bytes); }

void RawTerminal::suspend() {
  leave();
  ::kill(0, SIGTSTP);
  enter();
}

}  // namespace dsmoe::terminal
