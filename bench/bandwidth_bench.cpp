// The most that two threads read from memory: bandwidth_bench [GB | FILE [THREADS]], best and median of five passes
// over 4 GB on large pages, or over a file that is mapped, as models are; lines are asked for 8 kB ahead. It bounds
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

/// Seconds of one pass over all bytes.
double read_all(dsmoe::base::ThreadPool& pool, const void* memory, size_t bytes) {
  const auto* words = static_cast<const uint64_t*>(memory);
  const auto start = std::chrono::steady_clock::now();
  pool.run(static_cast<int64_t>(bytes / 64), 1 << 14, [&](int64_t begin, int64_t end) {
    uint64_t sums[8] = {};
    for (int64_t i = 8 * begin; i < 8 * end; i += 8) {
      __builtin_prefetch(words + i + 1024);
      for (int j = 0; j < 8; ++j) sums[j] ^= words[i + j];
    }
    volatile uint64_t sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
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
  const void* memory = owned ? owned.get() : static_cast<const void*>(file->bytes().data());
  ThreadPool pool(threads);
  if (file) read_all(pool, memory, bytes);  // into the page cache
  std::vector<double> rates;
  for (int pass = 0; pass < 5; ++pass)
    rates.push_back(static_cast<double>(bytes) / read_all(pool, memory, bytes) / 1e9);
  std::sort(rates.begin(), rates.end());
  std::printf("%d threads read %.1f GB/s at best, %.1f in the median\n", threads, rates.back(), rates[2]);
  return 0;
}
