// Kernels along one row, over the Vec of the including unit. Definitions and contracts: kernels/rows.h.
#pragma once

#include "kernels/table.h"
#include "kernels/unrolled.h"

namespace dsmoe::kernels {
namespace {

/// e^x, within 3 ulp for x from -87.3 to 88; below it stays at e^-87.3 = 1e-38, above at e^88. NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r by its Taylor series, whose rest after r^7/7! is under 6e-9 of it.
inline Vec exponential(Vec x) {
  x = max(Vec::all(-87.3f), x);  // the operand that may be NaN comes second
  x = min(Vec::all(88.0f), x);
  const Vec n = round(x * Vec::all(1.44269504f));
  // ln 2 in two parts; the first has 9 bits, so n times it is exact.
  Vec r = fma(n, Vec::all(-0.693359375f), x);
  r = fma(n, Vec::all(2.12194440e-4f), r);
  Vec p = Vec::all(1.0f / 5040);
  p = fma(p, r, Vec::all(1.0f / 720));
  p = fma(p, r, Vec::all(1.0f / 120));
  p = fma(p, r, Vec::all(1.0f / 24));
  p = fma(p, r, Vec::all(1.0f / 6));
  p = fma(p, r, Vec::all(0.5f));
  p = fma(p, r * r, r);
  return scale_by_power_of_two(p + Vec::all(1.0f), n);
}

/// Calls step(i, lanes) for i = 0, 16, ...; lanes is 16 but at the end, and a constant there, so that no mask is made.
template <class Step>
inline DSMOE_INLINE void each_vec(int64_t n, const Step& step) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) step(i, int64_t{kLanes});
  if (i < n) step(i, n - i);
}

void exponential_row(const float* x, int64_t n, float* out) {
  each_vec(n, [&](int64_t i, int64_t lanes) { exponential(Vec::load(x + i, lanes)).store(out + i, lanes); });
}

void rms_norm(const float* x, const float* weight, int64_t n, double eps, float* out) {
  Vec squares = Vec::zero();
  each_vec(n, [&](int64_t i, int64_t lanes) {
    const Vec v = Vec::load(x + i, lanes);
    squares = fma(v, v, squares);
  });
  const double mean = static_cast<double>(sum(squares)) / static_cast<double>(n);
  const Vec inverse = Vec::all(static_cast<float>(1.0 / __builtin_sqrt(mean + eps)));
  each_vec(n, [&](int64_t i, int64_t lanes) {
    (Vec::load(x + i, lanes) * inverse * Vec::load(weight + i, lanes)).store(out + i, lanes);
  });
}

/// Elements i of a head's two halves, rotated.
inline void rotate_lanes(Vec a, Vec b, const float* cosines, const float* sines, int64_t half, int64_t i, int64_t lanes,
                         float* head) {
  const Vec c = Vec::load(cosines + i, lanes), s = Vec::load(sines + i, lanes);
  (a * c - b * s).store(head + i, lanes);
  (b * c + a * s).store(head + half + i, lanes);
}

void rope(float* head, const float* cosines, const float* sines, int64_t half) {
  each_vec(half, [&](int64_t i, int64_t lanes) {
    rotate_lanes(Vec::load(head + i, lanes), Vec::load(head + half + i, lanes), cosines, sines, half, i, lanes, head);
  });
}

void rope_pairs(const float* pairs, const float* cosines, const float* sines, int64_t half, float* head) {
  each_vec(half, [&](int64_t i, int64_t lanes) {
    const float* p = pairs + 2 * i;
    Vec a = Vec::zero(), b = Vec::zero();
    if (lanes == kLanes) {
      deinterleave(Vec::load(p), Vec::load(p + kLanes), a, b);
    } else {
      const int64_t low = 2 * lanes < kLanes ? 2 * lanes : kLanes;
      deinterleave(Vec::load(p, low), Vec::load(p + low, 2 * lanes - low), a, b);
    }
    rotate_lanes(a, b, cosines, sines, half, i, lanes, head);
  });
}

/// The largest of a row of n >= 1.
inline float largest_of(const float* x, int64_t n) {
  Vec top = Vec::all(x[0]);
  each_vec(n, [&](int64_t i, int64_t lanes) {
    if (lanes == kLanes) {
      top = max(top, Vec::load(x + i));
    } else {
      for (int64_t j = i; j < n; ++j) top = max(top, Vec::all(x[j]));
    }
  });
  return largest(top);
}

/// out = e^(x - top) and the sum of it, lane by lane and then folded. Lanes past the end count nothing.
inline float exponentials_below(const float* x, float top, int64_t n, float* out) {
  Vec total = Vec::zero();
  each_vec(n, [&](int64_t i, int64_t lanes) {
    exponential(Vec::load(x + i, lanes) - Vec::all(top)).store(out + i, lanes);
    total = total + Vec::load(out + i, lanes);
  });
  return sum(total);
}

/// The sum of e^(x - top), of n >= 1 values whose largest is `top`: in lanes within a block, in double over blocks, as
/// so many of a vocabulary would lose digits.
double exponential_sum(const float* x, int64_t n, float* top) {
  constexpr int64_t kBlock = 256;
  const Vec largest = Vec::all(*top = largest_of(x, n));
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    Vec block = Vec::zero();
    each_vec(n - begin < kBlock ? n - begin : kBlock, [&](int64_t i, int64_t lanes) {
      Vec e = exponential(Vec::load(x + begin + i, lanes) - largest);
      if (lanes != kLanes) {  // lanes past the end count nothing
        float counted[kLanes];
        e.store(counted);
        e = Vec::load(counted, lanes);
      }
      block = block + e;
    });
    total += static_cast<double>(sum(block));
  }
  return total;
}

void softmax(const float* x, int64_t n, float* out) {
  const Vec total = Vec::all(exponentials_below(x, largest_of(x, n), n, out));
  each_vec(n, [&](int64_t i, int64_t lanes) { (Vec::load(out + i, lanes) / total).store(out + i, lanes); });
}

/// Rounds that descend: each looks for the largest value below the last round's and takes all who have it, the lower id
/// first. So ties need no care, and nobody must be marked as taken: the row stays as it is, however long.
void softmax_top_k(float* row, int64_t n, int32_t* ids, int64_t k) {
  constexpr int64_t kBits = 64;  // who has the value, looked up by a word at a time
  softmax(row, n, row);
  // Affinities are from 0 to 1, so a NaN comes last as -1. The zeros past the end may win a round, which then finds
  // nobody and is followed by a lower one.
  const auto rank = [&](int64_t i, int64_t lanes) {
    return max(lanes == kLanes ? Vec::load(row + i) : Vec::load(row + i, lanes), Vec::all(-1.0f));
  };
  Vec last = Vec::all(2.0f);
  for (int64_t found = 0; found < k;) {
    Vec best = Vec::all(-2.0f);
    each_vec(n, [&](int64_t i, int64_t lanes) { best = max_below(last, best, rank(i, lanes)); });
    last = Vec::all(largest(best));
    for (int64_t first = 0; first < n; first += kBits) {
      uint64_t have = 0;
      each_vec(n - first < kBits ? n - first : kBits, [&](int64_t i, int64_t lanes) {
        const uint64_t real = (uint64_t{1} << lanes) - 1;
        have |= (equal_lanes(rank(first + i, lanes), last) & real) << i;
      });
      for (; have != 0 && found < k; have &= have - 1) {
        ids[found++] = static_cast<int32_t>(first) + __builtin_ctzll(have);
      }
    }
  }
}

void silu_mul(const float* gate, const float* up, int64_t n, float* out) {
  each_vec(n, [&](int64_t i, int64_t lanes) {
    const Vec g = Vec::load(gate + i, lanes);
    const Vec one = Vec::all(1.0f);
    (g / (one + exponential(Vec::zero() - g)) * Vec::load(up + i, lanes)).store(out + i, lanes);
  });
}

void add_scaled(float scale, const float* x, int64_t n, float* y) {
  const Vec s = Vec::all(scale);
  each_vec(n, [&](int64_t i, int64_t lanes) {
    fma(s, Vec::load(x + i, lanes), Vec::load(y + i, lanes)).store(y + i, lanes);
  });
}

}  // namespace
}  // namespace dsmoe::kernels
