// Memory asked for before it is read, where the machine's own prefetching does not see what comes next: rows of weights
// are read sixteen at a time, heads of a cache a plane here and a plane there.
//
// A few lines at every step of the arithmetic: many requests at once would keep the loads behind them waiting
// (docs/kernels/quantised.md has figures).
#pragma once

#include <cstdint>

#include "kernels/matrix.h"
#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// g++ moves no instruction across: it likes to gather what asks for memory, which then comes too late or keeps the
/// loads behind it waiting.
DSMOE_INLINE inline void in_order() { asm volatile(""); }

class Ahead {
 public:
  /// Nothing where `at` is null.
  Ahead(const void* at, int64_t bytes) : at_(static_cast<const char*>(at)), end_(at ? at_ + bytes : nullptr) {}
  /// The lines of the next `bytes`.
  DSMOE_INLINE void ask(int64_t bytes) {
    for (const char* stop = end_ - at_ < bytes ? end_ : at_ + bytes; at_ < stop; at_ += 64) __builtin_prefetch(at_);
  }
  template <int Bytes>
  DSMOE_INLINE void ask_bytes() {
    if constexpr (Bytes % 64 == 0) {
      ask_lines<Bytes / 64>();
    } else {
      ask(Bytes);
    }
  }
  /// From now on a step asks for the next bytes / steps.
  void pace(int64_t bytes, int64_t steps) { step_ = bytes / steps + 1; }
  DSMOE_INLINE void step() { ask(step_); }
  /// So many lines; the last ones may lie behind the end, as asking does not touch them.
  template <int Lines>
  DSMOE_INLINE void ask_lines() {
    if (at_ >= end_) return;
    unrolled<Lines>([&](int i) DSMOE_INLINE { __builtin_prefetch(at_ + 64 * i); });
    at_ += 64 * Lines;
  }
  /// The lines between these bytes from here, without going on and whether there are any.
  template <int Begin, int End>
  DSMOE_INLINE void ask_between() const {
    constexpr int kFirst = (Begin + 63) / 64, kLines = (End + 63) / 64 - kFirst;
    unrolled<kLines>([&](int i) DSMOE_INLINE { __builtin_prefetch(at_ + 64 * (kFirst + i)); });
  }
  DSMOE_INLINE void skip(int64_t bytes) { at_ += bytes; }

 private:
  const char *at_, *end_;
  int64_t step_ = 0;
};

/// Where memory is not what is waited for.
struct NothingAhead {
  void ask(int64_t) const {}
  template <int>
  void ask_bytes() const {}
};

/// What is read after `rows` rows from n on: the rows behind them, or what this thread takes next; where that is not
/// known, the same rows again, which costs nothing.
inline Ahead rows_ahead(const Product& p, int64_t n, int64_t rows, int64_t stride) {
  const auto* here = static_cast<const uint8_t*>(p.weights.data) + n * stride;
  const void* next = p.next ? p.next : here;
  return {n + rows < p.row_end ? here + rows * stride : next, rows * stride};
}

}  // namespace
}  // namespace dsmoe::kernels
