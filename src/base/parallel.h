// One pool of threads per process, handed around as a value.
//
// A `ParallelFor` runs body(begin, end) over chunks of [0, count), in any order and on any thread; what a chunk is does
// not depend on the number of threads, so results do not either. Rooms take it as a parameter: dsmoe uses `ThreadPool`,
// dsmoe-train hands in LibTorch's own pool (two pools side by side fight for the cores).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace dsmoe::base {

/// What is run on a chunk: any callable, borrowed for the length of the call. Unlike std::function it never allocates.
class Body {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<F, Body>>>
  Body(const F& f)  // NOLINT: a lambda is a body
      : object_(&f),
        call_([](const void* object, int64_t begin, int64_t end) { (*static_cast<const F*>(object))(begin, end); }) {}
  void operator()(int64_t begin, int64_t end) const { call_(object_, begin, end); }

 private:
  const void* object_;
  void (*call_)(const void*, int64_t, int64_t);
};
/// (count, grain, body): chunks of `grain` items (the last one shorter), each handed to body once.
class ParallelFor {
 public:
  using Run = std::function<void(int64_t count, int64_t grain, const Body& body)>;
  template <class F, class = std::enable_if_t<std::is_constructible_v<Run, F>>>
  ParallelFor(F run, int threads = 1) : run_(std::move(run)), threads_(threads) {}  // NOLINT: so a function is one
  void operator()(int64_t count, int64_t grain, const Body& body) const { run_(count, grain, body); }
  /// For choosing how finely to cut work whose results do not depend on the cut.
  int threads() const { return threads_; }

 private:
  Run run_;
  int threads_;
};

/// On the calling thread, in order.
void serial_for(int64_t count, int64_t grain, const Body& body);

/// Workers that take chunks from one counter. The calling thread works too. An exception in a chunk is rethrown to the
/// caller once the others have stopped. Not reentrant: a body must not start another loop on the same pool.
///
/// A pass of a model is hundreds of short loops, and waking a thread costs as much as a short loop. So a worker that
/// finds nothing to do looks again for some microseconds before it sleeps, and so does a caller whose last chunk
/// another thread has. On a machine with other work that wastes no more than those microseconds a loop; where the pool
/// has more threads than the machine, nobody spins.
class ThreadPool {
 public:
  /// threads >= 1, the caller included; 0 means as many as this process may use (limits.h). Throws Error(kFailure)
  /// where the system does not give them.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  void run(int64_t count, int64_t grain, const Body& body);
  /// This pool as a value; the pool must outlive it.
  ParallelFor parallel_for() {
    return {[this](int64_t count, int64_t grain, const Body& body) { run(count, grain, body); }, size()};
  }

 private:
  void stop();
  void work();
  int64_t take_chunks(uint64_t loop);
  bool claim(uint64_t loop, int64_t& chunk);
  int64_t run_chunk(uint64_t loop, int64_t chunk);
  int64_t abandon(uint64_t loop);
  void finish(int64_t chunks);
  void await(int64_t own_chunks);
  uint64_t next_loop(uint64_t seen);

  // What threads hand to each other has lines of its own (by twos, as machines fetch them in pairs): every line that
  // passes between cores costs a tenth of a microsecond and more. The ticket says which loop (upper half) and how many
  // of its chunks nobody has claimed (lower half). The loop's own data was written before it and is not written again
  // until all chunks are done, so whoever has claimed one may read them, and nobody else does.
  struct alignas(128) {
    std::atomic<uint64_t> ticket{0};
    std::atomic<const Body*> body{nullptr};
    std::atomic<int64_t> count{0}, grain{1}, chunks{0};
  } loop_;
  struct alignas(128) {
    std::atomic<int64_t> unfinished{0};  // chunks, the caller's among them to the end
    std::atomic<bool> caller_sleeps{false};
  } end_;

  alignas(128) int spins_ = 0;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

}  // namespace dsmoe::base
