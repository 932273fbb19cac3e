#include "base/parallel.h"

#include <algorithm>
#include <utility>

namespace dsmoe::base {

void serial_for(int64_t count, int64_t grain, const Body& body) {
  for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
}

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

// Takes the next chunk and runs it. False when nothing is left.
bool ThreadPool::take_chunk() {
  int64_t begin;
  {
    const std::lock_guard lock(mutex_);
    if (next_ >= count_) return false;
    begin = next_;
    next_ = std::min(next_ + grain_, count_);
  }
  try {
    (*body_)(begin, std::min(begin + grain_, count_));
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    next_ = count_;  // the rest is pointless
  }
  return true;
}

void ThreadPool::work() {
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    ++busy_;
    lock.unlock();
    while (take_chunk()) {
    }
    lock.lock();
    if (--busy_ == 0) done_.notify_all();
  }
}

void ThreadPool::run(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) return serial_for(count, grain, body);
  {
    const std::lock_guard lock(mutex_);
    body_ = &body;
    count_ = count;
    grain_ = grain;
    next_ = 0;
    error_ = nullptr;
    ++generation_;
  }
  start_.notify_all();
  while (take_chunk()) {
  }
  std::unique_lock lock(mutex_);
  // A worker that wakes only now finds nothing left, so it is enough to wait for those inside a chunk.
  done_.wait(lock, [&] { return busy_ == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace dsmoe::base
