// The most that two threads read from memory: bandwidth_bench [GB [THREADS]], best and median of five passes over 4 GB.
// It bounds generation: tokens a second <= bandwidth / bytes that a token must read (dsmoe bench -o json says those).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/parallel.h"

int main(int argc, char** argv) {
  const double gigabytes = argc > 1 ? std::atof(argv[1]) : 4.0;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 2;
  const std::vector<uint64_t> words(static_cast<size_t>(gigabytes * 1e9 / 8) / 8 * 8, 1);
  dsmoe::base::ThreadPool pool(threads);
  std::vector<double> rates;
  for (int pass = 0; pass < 5; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.run(static_cast<int64_t>(words.size()), 1 << 17, [&](int64_t begin, int64_t end) {
      uint64_t sums[8] = {};
      for (int64_t i = begin; i + 8 <= end; i += 8) {
        for (int j = 0; j < 8; ++j) sums[j] ^= words[static_cast<size_t>(i + j)];
      }
      volatile uint64_t sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
      (void)sink;
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    rates.push_back(static_cast<double>(words.size()) * 8 / seconds / 1e9);
  }
  std::sort(rates.begin(), rates.end());
  std::printf("%d threads read %.1f GB/s at best, %.1f in the median\n", threads, rates.back(), rates[2]);
  return 0;
}
