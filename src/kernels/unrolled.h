// Loops over constants, for arrays that must live in registers. Nothing else is included: see vec_scalar.h.
#pragma once

#define DSMOE_INLINE __attribute__((always_inline))

namespace dsmoe::kernels {
namespace {

template <int N>
struct Constant {
  static constexpr int value = N;
  DSMOE_INLINE constexpr operator int64_t() const { return N; }
};

/// step(0), ..., step(N - 1) with every index a constant, so that arrays of sums live in registers.
template <int N, class Step>
inline DSMOE_INLINE void unrolled(const Step& step) {
  if constexpr (N > 0) {
    unrolled<N - 1>(step);
    step(N - 1);
  }
}

}  // namespace
}  // namespace dsmoe::kernels
