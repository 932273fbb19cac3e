#include "moe/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace dsmoe::moe {
namespace {

void run(int64_t count, int64_t grain, const base::Body& body) {
  const int64_t chunks = (count + grain - 1) / grain;
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), chunks);
  if (threads <= 1) return base::serial_for(count, grain, body);
  std::atomic<int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    try {
      for (int64_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
        body(chunk * grain, std::min(count, (chunk + 1) * grain));
      }
    } catch (...) {
      next.store(chunks, std::memory_order_relaxed);  // the rest is pointless
      throw;
    }
  });
}

}  // namespace

const base::ParallelFor& torch_parallel_for() {
  static const base::ParallelFor pool(run, at::get_num_threads());
  return pool;
}

}  // namespace dsmoe::moe
