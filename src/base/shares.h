// A list of items cut into one contiguous share for each thread: memory that lies in the order of the items is read in
// long stretches, and still all threads end together.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "base/parallel.h"

namespace dsmoe::base {

/// Items begin .. end, a run of them for one thread; and the item that it will probably take next, or -1.
struct Stretch {
  int64_t begin, end, next;
};

/// Takes from the front of one share, or from its back for a thread that has done its own; at least one item and at
/// most `most`. From the front seven eighths of what is left, as a run costs about a microsecond beside its items: a
/// core of four fifths of the others' speed still ends together with them. From the back half, as its owner goes on.
class Share {
 public:
  void set(int64_t begin, int64_t end) { left_ = pack(begin, end); }
  bool take_front(int64_t most, Stretch& run) {
    return take(7, 8, most, [&](int64_t begin, int64_t end, int64_t count) {
      run = {begin, begin + count, begin + count < end ? begin + count : -1};
      return pack(begin + count, end);
    });
  }
  bool take_back(int64_t most, Stretch& run) {
    return take(1, 2, most, [&](int64_t begin, int64_t end, int64_t count) {
      run = {end - count, end, -1};
      return pack(begin, end - count);
    });
  }

 private:
  static uint64_t pack(int64_t begin, int64_t end) {
    return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
  }
  template <class Cut>
  bool take(int64_t part, int64_t of, int64_t most, const Cut& cut) {
    const std::atomic_ref left(left_);
    uint64_t seen = left.load(std::memory_order_relaxed);
    for (;;) {
      const auto begin = static_cast<int64_t>(seen >> 32), end = static_cast<int64_t>(seen & 0xffffffff);
      if (begin == end) return false;
      const int64_t count = std::clamp<int64_t>((end - begin) * part / of, 1, most);
      // Who takes an item, and nothing else, is decided here: what items are was known before the loop began.
      if (left.compare_exchange_weak(seen, cut(begin, end, count), std::memory_order_relaxed)) return true;
    }
  }

  alignas(64) uint64_t left_;  ///< not an atomic, which would be made zero: a loop has room for many and uses few
};

/// Threads beyond these help with others' shares.
inline constexpr int kMostShares = 64;

/// body(run) for all items of 0 .. count, each in one run of at most `most` (at least 1) items. Share s of n begins at
/// item first_of(s, n), ascending from 0; first_of(n, n) is count, below 2^32. After an exception of body items may be
/// left out.
template <class FirstOf, class Body>
void for_each_run(const ParallelFor& parallel_for, int threads, const FirstOf& first_of, int64_t most,
                  const Body& body) {
  std::array<Share, kMostShares> all;
  const int shares = std::clamp(threads, 1, kMostShares);
  for (int s = 0; s < shares; ++s) all[static_cast<size_t>(s)].set(first_of(s, shares), first_of(s + 1, shares));
  parallel_for(std::max(1, threads), 1, [&](int64_t first, int64_t last) {
    for (int64_t thread = first; thread < last; ++thread) {
      const auto share = [&](int64_t i) -> Share& { return all[static_cast<size_t>((thread + i) % shares)]; };
      Stretch run;
      while (share(0).take_front(most, run)) body(run);
      for (int64_t i = 1; i < shares; ++i) {
        while (share(i).take_back(most, run)) body(run);
      }
    }
  });
}

}  // namespace dsmoe::base
