// Software prefetch, where the hardware's does not see what is read next: rows of weights are read sixteen at a time,
// heads of a KV cache a plane here and a plane there.
//
// A few cache lines at every step of the arithmetic: many prefetches at once would delay the loads behind them
// (docs/kernels/quantised.md has figures).
#pragma once

#include <cstdint>

#include "kernels/matrix.h"
#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// g++ moves no instruction across: it tends to gather prefetches, which then come too late or delay the loads behind
/// them.
DSMOE_INLINE inline void in_order() { asm volatile(""); }

class Prefetch {
 public:
  /// Nothing where `at` is null.
  Prefetch(const void* at, int64_t bytes) : at_(static_cast<const char*>(at)), end_(at ? at_ + bytes : nullptr) {}
  /// The lines of the next `bytes`.
  DSMOE_INLINE void fetch(int64_t bytes) {
    for (const char* stop = end_ - at_ < bytes ? end_ : at_ + bytes; at_ < stop; at_ += 64) __builtin_prefetch(at_);
  }
  template <int Bytes>
  DSMOE_INLINE void fetch_bytes() {
    if constexpr (Bytes % 64 == 0) {
      fetch_lines<Bytes / 64>();
    } else {
      fetch(Bytes);
    }
  }
  /// From now on a step fetches the next bytes / steps.
  void pace(int64_t bytes, int64_t steps) { step_ = bytes / steps + 1; }
  DSMOE_INLINE void step() { fetch(step_); }
  /// So many lines; the last ones may lie behind the end, as a prefetch does not fault.
  template <int Lines>
  DSMOE_INLINE void fetch_lines() {
    if (at_ >= end_) return;
    unrolled<Lines>([&](int i) DSMOE_INLINE { __builtin_prefetch(at_ + 64 * i); });
    at_ += 64 * Lines;
  }
  /// The lines between these bytes from here, without going on and whether there are any.
  template <int Begin, int End>
  DSMOE_INLINE void fetch_between() const {
    constexpr int kFirst = (Begin + 63) / 64, kLines = (End + 63) / 64 - kFirst;
    unrolled<kLines>([&](int i) DSMOE_INLINE { __builtin_prefetch(at_ + 64 * (kFirst + i)); });
  }
  DSMOE_INLINE void skip(int64_t bytes) { at_ += bytes; }

 private:
  const char *at_, *end_;
  int64_t step_ = 0;
};

/// For loops that do not wait for memory.
struct NoPrefetch {
  void fetch(int64_t) const {}
  template <int>
  void fetch_bytes() const {}
};

/// What is read after `rows` rows from n on: the rows behind them, or what this thread takes next; where that is not
/// known, the same rows again, which costs nothing.
inline Prefetch prefetch_rows(const Product& p, int64_t n, int64_t rows, int64_t stride) {
  const auto* here = static_cast<const uint8_t*>(p.weights.data) + n * stride;
  const void* next = p.next ? p.next : here;
  return {n + rows < p.row_end ? here + rows * stride : next, rows * stride};
}

}  // namespace
}  // namespace dsmoe::kernels
