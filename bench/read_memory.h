// Reading memory as fast as the machine gives it: what everything that reads weights is measured by.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/parallel.h"

namespace dsmoe::bench {

inline double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The sums stay in registers: a loop that keeps them in memory reads half as fast where memory is fast. Lines are
/// asked for 8 kB ahead (4 kB read 4 % less where each core has its own way to memory), behind the piece at `next`.
inline uint64_t read_piece(const char* piece, size_t bytes, const char* next) {
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

/// Gigabytes a second of one pass over pieces of so many bytes, each thread over a stretch of the list.
inline double read_rate(base::ThreadPool& pool, const std::vector<const char*>& pieces, size_t bytes) {
  const auto threads = static_cast<int64_t>(pool.size()), count = static_cast<int64_t>(pieces.size());
  const double seconds = seconds_of([&] {
    pool.run(threads, 1, [&](int64_t thread, int64_t) {
      uint64_t sum = 0;
      for (int64_t i = count * thread / threads; i < count * (thread + 1) / threads; ++i) {
        const auto at = static_cast<size_t>(i);
        sum ^= read_piece(pieces[at], bytes, pieces[i + 1 < count ? at + 1 : at]);
      }
      volatile uint64_t sink = sum;
      (void)sink;
    });
  });
  return static_cast<double>(count) * static_cast<double>(bytes) / 1e9 / seconds;
}

/// Pieces of so many bytes that follow each other.
inline std::vector<const char*> cut(const char* memory, size_t all, size_t bytes) {
  std::vector<const char*> pieces;
  for (size_t at = 0; at + bytes <= all; at += bytes) pieces.push_back(memory + at);
  return pieces;
}

}  // namespace dsmoe::bench
