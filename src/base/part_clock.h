// Where the time of a piece of work goes, part by part, without passing a stopwatch through it.
//
// A `PartClock` collects on its thread while it lives; a `Part` is a scope that says what runs now. Time is counted
// once: inside a nested part it belongs to that one. Without a clock a Part costs a thread-local read.
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace dsmoe::base {

class PartClock {
 public:
  PartClock();
  ~PartClock();
  PartClock(const PartClock&) = delete;
  PartClock& operator=(const PartClock&) = delete;

  /// Seconds by part since construction or reset(); what no part claimed is "other".
  std::map<std::string, double> seconds();
  void reset();

 private:
  friend class Part;
  using Clock = std::chrono::steady_clock;
  /// Ends what ran until now and begins `part`; returns what ran.
  const char* switch_to(const char* part);
  static PartClock*& active();

  std::map<std::string, double> seconds_;
  const char* part_ = "other";
  Clock::time_point since_ = Clock::now();
  PartClock* outer_;
};

class Part {
 public:
  /// `name` outlives the clock: a literal.
  explicit Part(const char* name) : clock_(PartClock::active()), before_(clock_ ? clock_->switch_to(name) : nullptr) {}
  ~Part() {
    if (clock_) clock_->switch_to(before_);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

 private:
  PartClock* clock_;
  const char* before_;
};

}  // namespace dsmoe::base
