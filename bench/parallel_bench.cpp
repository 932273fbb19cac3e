// What a parallel region costs beyond its work: two chunks of some work on two threads, over and over.
#include "base/parallel.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace dsmoe {
namespace {

constexpr int kRegions = 20000, kRepeats = 5;

void spin(int64_t rounds) {
  for (int64_t i = 0; i < rounds; ++i) asm volatile("");
}

double nanoseconds(const base::Body& region) {
  double best = 1e18;
  for (int i = 0; i < kRepeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < kRegions; ++j) region(0, 0);
    best = std::min(best, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count());
  }
  return best / kRegions;
}

}  // namespace
}  // namespace dsmoe

int main() {
  using namespace dsmoe;
  base::ThreadPool pool(2);
  for (const int64_t rounds : {0, 2000, 20000}) {
    const auto chunk = [&](int64_t, int64_t) { spin(rounds); };
    const double alone = nanoseconds([&](int64_t, int64_t) { spin(rounds); });
    const double region = nanoseconds([&](int64_t, int64_t) { pool.run(2, 1, chunk); });
    std::printf("chunks of %8.0f ns: a region takes %.0f ns more\n", alone, region - alone);
  }
}
