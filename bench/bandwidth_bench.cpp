// The most that two threads read from memory: bandwidth_bench [GB | FILE [THREADS [KB]]], best and median of five
// passes over 4 GB on large pages, or over a file that is mapped, as models are; lines are asked for 8 kB ahead (4 kB
// read 4 % less where each core has its own way to memory). It bounds generation: tokens a second <= bandwidth / bytes
// that a token must read (dsmoe bench -o json says those). With KB in pieces of so many kilobytes in a random order:
// what jumping costs.
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
#include "base/rng.h"

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// The sums stay in registers: a loop that keeps them in memory reads half as fast where memory is fast. Lines behind
/// the piece are asked for at `next`.
uint64_t read_piece(const char* piece, size_t bytes, const char* next) {
  using Line = uint64_t __attribute__((vector_size(64), aligned(1), may_alias));
  constexpr size_t kStep = 4 * sizeof(Line), kAhead = 8192;
  Line a = {}, b = {};
  for (size_t at = 0; at + kStep <= bytes; at += kStep) {
    const char* ahead = at + kAhead < bytes ? piece + at + kAhead : next + (at + kAhead - bytes);
    for (size_t i = 0; i < kStep; i += sizeof(Line)) __builtin_prefetch(ahead + i);
    const auto* lines = reinterpret_cast<const Line*>(piece + at);
    a ^= lines[0] ^ lines[1];
    b ^= lines[2] ^ lines[3];
  }
  a ^= b;
  return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

/// Seconds of one pass over all pieces, each thread over a stretch of the list.
double read_all(dsmoe::base::ThreadPool& pool, const std::vector<const char*>& pieces, size_t bytes) {
  const auto threads = static_cast<int64_t>(pool.size()), count = static_cast<int64_t>(pieces.size());
  const auto start = std::chrono::steady_clock::now();
  pool.run(threads, 1, [&](int64_t thread, int64_t) {
    uint64_t sum = 0;
    for (int64_t i = count * thread / threads; i < count * (thread + 1) / threads; ++i) {
      const auto at = static_cast<size_t>(i);
      sum ^= read_piece(pieces[at], bytes, pieces[i + 1 < count ? at + 1 : at]);
    }
    volatile uint64_t sink = sum;
    (void)sink;
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dsmoe::base;
  const double gigabytes = argc > 1 ? std::atof(argv[1]) : 4.0;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 2, kilobytes = argc > 3 ? std::atoi(argv[3]) : 0;
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
  const size_t piece = std::min(bytes, (kilobytes > 0 ? static_cast<size_t>(kilobytes) : size_t{1024}) << 10);
  std::vector<const char*> pieces;
  for (size_t at = 0; at + piece <= bytes; at += piece) pieces.push_back(memory + at);
  if (file) read_all(pool, pieces, piece);  // into the page cache
  if (kilobytes > 0) Rng(1).shuffle(pieces);
  const double size = static_cast<double>(pieces.size() * piece);
  std::vector<double> rates;
  for (int pass = 0; pass < 5; ++pass) rates.push_back(size / read_all(pool, pieces, piece) / 1e9);
  std::sort(rates.begin(), rates.end());
  std::printf("%d threads read %.1f GB/s at best, %.1f in the median\n", threads, rates.back(), rates[2]);
  return 0;
}
