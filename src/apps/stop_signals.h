// Signals as a question a long command asks between two pieces of work, so that it can clean up and leave.
#pragma once

#include <csignal>
#include <initializer_list>
#include <utility>
#include <vector>

namespace dsmoe::apps {

/// While one lives, the first of the signals sets a flag and a second one of that kind ends the program as usual. One
/// at a time.
class StopSignals {
 public:
  explicit StopSignals(std::initializer_list<int> signals = {SIGINT, SIGTERM}) {
    requested_flag() = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { requested_flag() = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int number : signals) {
      old_.emplace_back(number, action);
      ::sigaction(number, &action, &old_.back().second);
    }
  }
  ~StopSignals() {
    for (const auto& [number, action] : old_) ::sigaction(number, &action, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  bool requested() const { return requested_flag() != 0; }

 private:
  static volatile std::sig_atomic_t& requested_flag() {
    static volatile std::sig_atomic_t flag = 0;
    return flag;
  }
  std::vector<std::pair<int, struct sigaction>> old_;
};

}  // namespace dsmoe::apps
