// SIGINT and SIGTERM as a question a long command asks between two pieces of work, so that it can clean up and leave.
#pragma once

#include <atomic>
#include <csignal>

namespace dsmoe::apps {

/// While one lives, the first signal sets a flag and the second one ends the program as usual. One at a time.
class StopSignals {
 public:
  StopSignals() {
    requested_flag() = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { requested_flag() = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGINT, &action, &old_interrupt_);
    ::sigaction(SIGTERM, &action, &old_terminate_);
  }
  ~StopSignals() {
    ::sigaction(SIGINT, &old_interrupt_, nullptr);
    ::sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  bool requested() const { return requested_flag() != 0; }

 private:
  static volatile std::sig_atomic_t& requested_flag() {
    static volatile std::sig_atomic_t flag = 0;
    return flag;
  }
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

}  // namespace dsmoe::apps
