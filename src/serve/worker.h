// The engine's own thread: a scheduler led by a clock, and a letter box before it. Safe to use from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "serve/scheduler.h"

namespace dsmoe::serve {

class Worker {
 public:
  /// All are kept by reference.
  Worker(engine::Engine& engine, const tokenizer::Tokenizer* tokenizer, const SchedulerOptions& options);
  /// What still runs ends with an error.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// The listener hears of it on the engine's thread, of a refusal too.
  void add(Work work);
  /// Takes effect before the next pass.
  void cancel(uint64_t id);
  /// Waits until nothing is left to do, but not longer than this; then ends what is left with an error.
  void drain(std::chrono::milliseconds longest);
  SchedulerLoad load() const;

 private:
  void run();
  void take_letters(std::unique_lock<std::mutex>& lock);

  Scheduler scheduler_;
  mutable std::mutex mutex_;
  std::condition_variable letters_came_, became_idle_;
  std::vector<std::function<void(Scheduler&)>> letters_;
  SchedulerLoad load_;
  bool idle_ = true, leaving_ = false;
  std::thread thread_;
};

}  // namespace dsmoe::serve
