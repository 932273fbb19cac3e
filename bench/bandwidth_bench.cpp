// The most that two threads read from memory: bandwidth_bench [GB | FILE [THREADS]], best and median of five passes
// over 4 GB on large pages, or over a file that is mapped, as models are; lines are asked for 4 kB ahead. It bounds
// generation: tokens a second <= bandwidth / bytes that a token must read (dsmoe bench -o json says those).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "base/parallel.h"

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// Seconds of one pass over all bytes, each thread over a part of its own. The sums stay in registers: a loop that
/// keeps them in memory reads half as fast where memory is fast.
double read_all(dsmoe::base::ThreadPool& pool, const char* memory, size_t bytes) {
  using Line = uint64_t __attribute__((vector_size(64), aligned(1), may_alias));
  constexpr int64_t kLines = 4, kAhead = 64;
  const auto threads = static_cast<int64_t>(pool.size()), steps = static_cast<int64_t>(bytes / sizeof(Line)) / kLines;
  const auto start = std::chrono::steady_clock::now();
  pool.run(threads, 1, [&](int64_t thread, int64_t) {
    const auto* lines = reinterpret_cast<const Line*>(memory);
    Line a = {}, b = {};
    for (int64_t i = steps * thread / threads * kLines; i < steps * (thread + 1) / threads * kLines; i += kLines) {
      for (int64_t j = 0; j < kLines; ++j) __builtin_prefetch(lines + i + j + kAhead);
      a ^= lines[i] ^ lines[i + 1];
      b ^= lines[i + 2] ^ lines[i + 3];
    }
    a ^= b;
    volatile uint64_t sink = a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
    (void)sink;
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dsmoe::base;
  const double gigabytes = argc > 1 ? std::atof(argv[1]) : 4.0;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 2;
  std::optional<MappedFile> file;
  std::unique_ptr<void, Free> owned;
  size_t bytes = (static_cast<size_t>(gigabytes * 1e9) / kLargePage + 1) * kLargePage;
  if (gigabytes > 0) {
    owned.reset(std::aligned_alloc(kLargePage, bytes));
    if (!owned) return std::fprintf(stderr, "no memory for %zu bytes\n", bytes), 1;
    prefer_large_pages(owned.get(), bytes);
    std::memset(owned.get(), 1, bytes);
  } else {
    file.emplace(argv[1]);
    bytes = file->bytes().size();
  }
  const auto* memory = static_cast<const char*>(owned ? owned.get() : static_cast<const void*>(file->bytes().data()));
  ThreadPool pool(threads);
  if (file) read_all(pool, memory, bytes);  // into the page cache
  std::vector<double> rates;
  for (int pass = 0; pass < 5; ++pass)
    rates.push_back(static_cast<double>(bytes) / read_all(pool, memory, bytes) / 1e9);
  std::sort(rates.begin(), rates.end());
  std::printf("%d threads read %.1f GB/s at best, %.1f in the median\n", threads, rates.back(), rates[2]);
  return 0;
}
