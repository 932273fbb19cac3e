// Signals as a question a long command asks between two pieces of work, so that it can clean up and leave.
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

namespace dsmoe::apps {

/// While one lives, the first of the signals sets a flag and a second one of that kind ends the program as usual. A
/// hang-up that was ignored when the program started (nohup) stays ignored. One at a time.
class StopSignals {
 public:
  /// `acknowledgement`, a whole line, goes to standard error as soon as the first signal comes. Its text must outlive
  /// this object; nullptr: nothing is said.
  explicit StopSignals(std::initializer_list<int> signals = {SIGINT, SIGTERM, SIGHUP},
                       const char* acknowledgement = nullptr) {
    requested_flag() = 0;
    line() = acknowledgement;
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int number : signals) {
      struct sigaction old {};
      ::sigaction(number, nullptr, &old);
      if (number == SIGHUP && old.sa_handler == SIG_IGN) continue;
      ::sigaction(number, &action, nullptr);
      old_.emplace_back(number, old);
    }
  }
  ~StopSignals() {
    for (const auto& [number, action] : old_) ::sigaction(number, &action, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  bool requested() const { return requested_flag() != 0; }

 protected:
  /// `number` does nothing while this lives.
  void ignore(int number) {
    struct sigaction action {
    }, old{};
    action.sa_handler = SIG_IGN;
    ::sigaction(number, &action, &old);
    old_.emplace_back(number, old);
  }

 private:
  static void on_signal(int) {
    const bool first = requested_flag() == 0;
    requested_flag() = 1;
    const char* text = line();
    if (first && text != nullptr && ::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;  // nobody left to tell
  }
  static volatile std::sig_atomic_t& requested_flag() {
    static volatile std::sig_atomic_t flag = 0;
    return flag;
  }
  static const char*& line() {
    static const char* text = nullptr;
    return text;
  }
  std::vector<std::pair<int, struct sigaction>> old_;
};

/// For a command that leaves at the next piece of its work and cleans up: what stops it is acknowledged. A pipe that
/// nobody reads any more stops nothing: a reader of the progress who leaves would leave half a file behind, and an
/// output that cannot be written to is an error as on any disk.
class WorkSignals : public StopSignals {
 public:
  WorkSignals() : StopSignals({SIGINT, SIGTERM, SIGHUP}, "stopping; once more to stop now\n") { ignore(SIGPIPE); }
};

}  // namespace dsmoe::apps
