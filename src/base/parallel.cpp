#include "base/parallel.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/limits.h"

namespace dsmoe::base {
namespace {

constexpr int kLoopShift = 32;
// Some 20 to 60 microseconds, several times the stretch between two loops of a pass.
constexpr int kSpins = 1500;
constexpr uint64_t kLeft = 0xffffffff;  // chunks nobody has claimed, in a ticket

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
  const int processors = usable_processors();
  if (threads <= 0) threads = processors;
  spins_ = threads <= processors ? kSpins : 0;
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop();
    fail(ErrorKind::kFailure, "threads", "cannot start " + std::to_string(threads) + " threads",
         std::to_string(size()) + " could be (" + error.code().message() + ")",
         "-t takes fewer; ulimit -u or a control group may limit them");
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::claim(uint64_t loop, int64_t& chunk) {
  uint64_t ticket = loop_.ticket.load(std::memory_order_acquire);
  do {
    if (ticket >> kLoopShift != loop || (ticket & kLeft) == 0) return false;
  } while (!loop_.ticket.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel));
  chunk = loop_.chunks.load(std::memory_order_relaxed) - static_cast<int64_t>(ticket & kLeft);
  return true;
}

// A claimed chunk, and after an exception all that are left; returns how many that were.
int64_t ThreadPool::run_chunk(uint64_t loop, int64_t chunk) {
  const int64_t count = loop_.count.load(std::memory_order_relaxed),
                grain = loop_.grain.load(std::memory_order_relaxed);
  try {
    (*loop_.body.load(std::memory_order_relaxed))(chunk * grain, std::min(chunk * grain + grain, count));
    return 1;
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    return 1 + abandon(loop);
  }
}

int64_t ThreadPool::abandon(uint64_t loop) {
  int64_t left = 0;
  for (int64_t chunk; claim(loop, chunk);) ++left;
  return left;
}

int64_t ThreadPool::take_chunks(uint64_t loop) {
  int64_t done = 0;
  for (int64_t chunk; claim(loop, chunk);) done += run_chunk(loop, chunk);
  return done;
}

void ThreadPool::finish(int64_t chunks) {
  if (chunks == 0) return;
  end_.unfinished.fetch_sub(chunks);
  if (!end_.caller_sleeps.load()) return;
  const std::lock_guard lock(mutex_);
  done_.notify_all();
}

// Until all chunks but the caller's own are done.
void ThreadPool::await(int64_t own_chunks) {
  for (int i = 0; i < spins_ && end_.unfinished.load(std::memory_order_acquire) > own_chunks; ++i) pause();
  if (end_.unfinished.load(std::memory_order_acquire) == own_chunks) return;
  std::unique_lock lock(mutex_);
  end_.caller_sleeps = true;
  done_.wait(lock, [&] { return end_.unfinished.load() == own_chunks; });
  end_.caller_sleeps = false;
}

// Waits for another loop than the one seen last; 0 when the pool stops.
uint64_t ThreadPool::next_loop(uint64_t seen) {
  for (int i = 0; i < spins_; ++i) {
    if (const uint64_t loop = loop_.ticket.load(std::memory_order_acquire) >> kLoopShift; loop != seen) return loop;
    pause();
  }
  std::unique_lock lock(mutex_);
  ++sleepers_;  // before looking a last time: run() looks at sleepers after it has shown the loop
  start_.wait(lock, [&] { return stopping_ || loop_.ticket.load() >> kLoopShift != seen; });
  --sleepers_;
  return stopping_ ? 0 : loop_.ticket.load() >> kLoopShift;
}

void ThreadPool::work() {
  for (uint64_t loop = 0; (loop = next_loop(loop)) != 0;) finish(take_chunks(loop));
}

void ThreadPool::run(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) return serial_for(count, grain, body);
  const int64_t chunks = (count + grain - 1) / grain;
  DSMOE_CHECK(chunks <= static_cast<int64_t>(kLeft), "a loop's chunks can be counted");
  uint64_t loop = loop_.ticket.load(std::memory_order_relaxed) >> kLoopShift;
  loop = loop == kLeft ? 1 : loop + 1;  // never 0: what a worker that has seen nothing has seen
  loop_.body.store(&body, std::memory_order_relaxed);
  loop_.count.store(count, std::memory_order_relaxed);
  loop_.grain.store(grain, std::memory_order_relaxed);
  loop_.chunks.store(chunks, std::memory_order_relaxed);
  end_.unfinished.store(chunks, std::memory_order_relaxed);
  loop_.ticket.store(loop << kLoopShift | static_cast<uint64_t>(chunks - 1));  // the first one is the caller's
  if (sleepers_.load() > 0) {
    { const std::lock_guard lock(mutex_); }
    start_.notify_all();
  }
  const int64_t first = run_chunk(loop, 0);
  await(first + take_chunks(loop));
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace dsmoe::base
