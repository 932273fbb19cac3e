#include "base/part_clock.h"

#include <utility>

namespace dsmoe::base {

PartClock*& PartClock::active() {
  thread_local PartClock* clock = nullptr;
  return clock;
}

PartClock::PartClock() : outer_(active()) { active() = this; }
PartClock::~PartClock() { active() = outer_; }

const char* PartClock::switch_to(const char* part) {
  const auto now = Clock::now();
  seconds_[part_] += std::chrono::duration<double>(now - since_).count();
  since_ = now;
  return std::exchange(part_, part);
}

std::map<std::string, double> PartClock::seconds() {
  switch_to(part_);
  return seconds_;
}

void PartClock::reset() {
  switch_to(part_);
  seconds_.clear();
}

}  // namespace dsmoe::base
