#include "serve/worker.h"

#include <memory>
#include <utility>

namespace dsmoe::serve {

Worker::Worker(engine::Engine& engine, const tokenizer::Tokenizer* tokenizer, const SchedulerOptions& options)
    : scheduler_(engine, tokenizer, options), thread_([this] { run(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
    idle_ = false;
  }
  letters_came_.notify_one();
  thread_.join();
}

void Worker::add(Work work) {
  auto shared = std::make_shared<Work>(std::move(work));
  const std::lock_guard lock(mutex_);
  idle_ = false;
  letters_.push_back([shared](Scheduler& scheduler) {
    const std::shared_ptr<Listener> listener = shared->listener;
    try {
      scheduler.add(std::move(*shared));
    } catch (const std::exception& error) {
      listener->on_failure(as_api_error(error));
    }
  });
  letters_came_.notify_one();
}

void Worker::cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  idle_ = false;
  letters_.push_back([id](Scheduler& scheduler) { scheduler.cancel(id); });
  letters_came_.notify_one();
}

void Worker::drain(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  if (became_idle_.wait_for(lock, longest, [this] { return idle_; })) return;
  letters_.push_back([](Scheduler& scheduler) { scheduler.fail_all(shutting_down()); });
  letters_came_.notify_one();
  became_idle_.wait(lock, [this] { return idle_; });
}

SchedulerLoad Worker::load() const {
  const std::lock_guard lock(mutex_);
  return load_;
}

void Worker::take_letters(std::unique_lock<std::mutex>& lock) {
  const auto letters = std::exchange(letters_, {});
  lock.unlock();
  for (const auto& letter : letters) letter(scheduler_);
  lock.lock();
}

void Worker::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    take_letters(lock);
    if (leaving_) break;
    if (!scheduler_.idle()) {
      lock.unlock();
      scheduler_.step(Clock::now());
      lock.lock();
    }
    load_ = scheduler_.load();
    if (!scheduler_.idle() || !letters_.empty()) continue;
    idle_ = true;
    became_idle_.notify_all();
    letters_came_.wait(lock, [this] { return !letters_.empty() || leaving_; });
  }
  lock.unlock();
  scheduler_.fail_all(shutting_down());
}

}  // namespace dsmoe::serve
