#include "base/parallel.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dsmoe::base {
namespace {

constexpr int kLoopShift = 32;
// Some 20 to 60 microseconds, several times the stretch between two loops of a pass.
constexpr int kSpins = 1500;
constexpr uint64_t kClosed = 0xffffffff;  // as next chunk: nothing can be claimed

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

void serial_for(int64_t count, int64_t grain, const Body& body) {
  for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
}

ThreadPool::ThreadPool(int threads) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (threads <= 0) threads = cores;
  spins_ = threads <= cores ? kSpins : 0;
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

bool ThreadPool::claim(uint64_t loop, int64_t& chunk) {
  // Whoever reads a later loop's count here sees a closed ticket or a later one below.
  const auto chunks = static_cast<uint64_t>(chunks_.load(std::memory_order_acquire));
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const uint64_t next = ticket & kClosed;
    if (ticket >> kLoopShift != loop || next >= chunks) return false;
    if (ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) {
      chunk = static_cast<int64_t>(next);
      return true;
    }
  }
}

void ThreadPool::take_chunks(uint64_t loop) {
  const Body* body = body_.load(std::memory_order_relaxed);
  const int64_t count = count_.load(std::memory_order_relaxed), grain = grain_.load(std::memory_order_relaxed);
  for (int64_t chunk; claim(loop, chunk);) {
    try {
      (*body)(chunk * grain, std::min(chunk * grain + grain, count));
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
      }
      abandon(loop);
    }
    finish(1);
  }
}

// Takes all chunks that are left, and does nothing with them.
void ThreadPool::abandon(uint64_t loop) {
  int64_t left = 0;
  for (int64_t chunk; claim(loop, chunk);) ++left;
  if (left > 0) finish(left);
}

void ThreadPool::finish(int64_t chunks) {
  if (unfinished_.fetch_sub(chunks) != chunks || !caller_sleeps_.load()) return;
  const std::lock_guard lock(mutex_);
  done_.notify_all();
}

// Waits for another loop than the one seen last; 0 when the pool stops.
uint64_t ThreadPool::next_loop(uint64_t seen) {
  for (int i = 0; i < spins_; ++i) {
    if (const uint64_t loop = ticket_.load(std::memory_order_acquire) >> kLoopShift; loop != seen) return loop;
    pause();
  }
  std::unique_lock lock(mutex_);
  ++sleepers_;  // before looking a last time: run() looks at sleepers after it has shown the loop
  start_.wait(lock, [&] { return stopping_ || ticket_.load() >> kLoopShift != seen; });
  --sleepers_;
  return stopping_ ? 0 : ticket_.load() >> kLoopShift;
}

void ThreadPool::work() {
  for (uint64_t loop = 0; (loop = next_loop(loop)) != 0;) take_chunks(loop);
}

void ThreadPool::run(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) return serial_for(count, grain, body);
  const int64_t chunks = (count + grain - 1) / grain;
  DSMOE_CHECK(chunks < static_cast<int64_t>(kClosed), "a loop's chunks can be counted");
  uint64_t loop = ticket_.load(std::memory_order_relaxed) >> kLoopShift;
  ticket_.store(loop << kLoopShift | kClosed);  // a latecomer to the last loop finds nothing, whatever it reads below
  body_.store(&body, std::memory_order_relaxed);
  count_.store(count, std::memory_order_relaxed);
  grain_.store(grain, std::memory_order_relaxed);
  chunks_.store(chunks, std::memory_order_release);
  unfinished_.store(chunks, std::memory_order_relaxed);
  loop = loop == kClosed ? 1 : loop + 1;  // never 0: what a worker that has seen nothing has seen
  ticket_.store(loop << kLoopShift);
  if (sleepers_.load() > 0) {
    { const std::lock_guard lock(mutex_); }
    start_.notify_all();
  }
  take_chunks(loop);
  for (int i = 0; i < spins_ && unfinished_.load(std::memory_order_acquire) > 0; ++i) pause();
  if (unfinished_.load(std::memory_order_acquire) > 0) {
    std::unique_lock lock(mutex_);
    caller_sleeps_ = true;
    done_.wait(lock, [&] { return unfinished_.load() == 0; });
    caller_sleeps_ = false;
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace dsmoe::base
