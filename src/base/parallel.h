// One pool of threads per process, handed around as a value.
//
// A `ParallelFor` runs body(begin, end) over chunks of [0, count), in any order and on any thread; what a chunk is does
// not depend on the number of threads, so results do not either. Rooms take it as a parameter: dsmoe uses `ThreadPool`,
// dsmoe-train hands in LibTorch's own pool (two pools side by side fight for the cores).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace dsmoe::base {

using Body = std::function<void(int64_t begin, int64_t end)>;
/// (count, grain, body): chunks of `grain` items (the last one shorter), each handed to body once.
using ParallelFor = std::function<void(int64_t count, int64_t grain, const Body& body)>;

/// On the calling thread, in order.
void serial_for(int64_t count, int64_t grain, const Body& body);

/// Workers that take chunks from one counter. The calling thread works too. An exception in a chunk is rethrown to the
/// caller once the others have stopped. Not reentrant: a body must not start another loop on the same pool.
class ThreadPool {
 public:
  /// threads >= 1, the caller included; 0 means as many as the machine has.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  void run(int64_t count, int64_t grain, const Body& body);
  /// This pool as a value; the pool must outlive it.
  ParallelFor parallel_for() {
    return [this](int64_t count, int64_t grain, const Body& body) { run(count, grain, body); };
  }

 private:
  void work();
  bool take_chunk();

  std::mutex mutex_;
  std::condition_variable start_, done_;
  const Body* body_ = nullptr;
  int64_t count_ = 0, grain_ = 1, next_ = 0;
  int busy_ = 0;
  uint64_t generation_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> workers_;
};

}  // namespace dsmoe::base
