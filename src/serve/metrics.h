// Counts and times of what a server does, and their text for Prometheus (text format 0.0.4). Safe from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "serve/scheduler.h"

namespace dsmoe::serve {

/// Seconds in buckets that each hold what is at most their bound.
class Histogram {
 public:
  void observe(double seconds);
  /// The series, with help and type before them.
  void write(std::string& out, const std::string& name, const std::string& help) const;

 private:
  static constexpr std::array<double, 14> kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                     1,     2.5,  5,     10,   30,  60,   300};
  std::array<uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

class Metrics {
 public:
  void answered(int status);                        ///< any HTTP request
  void finished(const std::string& finish_reason);  ///< a choice
  void first_token(double seconds);                 ///< since the request came
  void next_token(double seconds);                  ///< since the one before
  void request_ended(double seconds);
  /// All of them, with what the scheduler says of a model with so many routed experts to a layer.
  std::string text(const SchedulerLoad& load, int64_t experts) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, uint64_t> answers_;
  std::map<std::string, uint64_t> finishes_;
  Histogram first_token_, next_token_, whole_;
};

}  // namespace dsmoe::serve
