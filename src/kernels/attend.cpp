#include "kernels/attend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/bits.h"
#include "base/error.h"
#include "kernels/isa.h"

namespace dsmoe::kernels {
namespace {

const AttentionKernels& fast() { return kernels().attention; }

// A thread's working memory, kept from call to call: nothing is allocated once it has grown.
float* working_memory(size_t floats) {
  thread_local std::vector<float> memory;
  if (memory.size() < floats) memory.resize(floats);
  return memory.data();
}

// A block's keys and values as floats, and their scales.
size_t widened(const Attention& a) {
  return static_cast<size_t>(2 * kCacheBlock * (a.head_dim + cache_groups(a.head_dim)));
}

}  // namespace

void attention_span(const Attention& a, int64_t span, AttentionState* states) {
  DSMOE_CHECK(a.all_rows() <= kAttentionRows, "no more rows than a call takes");
  fast().span[static_cast<size_t>(a.type)](a, span, states, working_memory(widened(a)));
}

void attention(const Attention& a) {
  const int64_t rows = a.all_rows();
  DSMOE_CHECK(rows <= kAttentionRows, "no more rows than a call takes");
  const AttentionKernels& kernel = fast();
  const auto span_of = kernel.span[static_cast<size_t>(a.type)];
  float* wide = working_memory(widened(a) + static_cast<size_t>(rows * a.head_dim));
  float* part_of[kAttentionRows];
  for (int64_t row = 0; row < rows; ++row) part_of[row] = wide + widened(a) + row * a.head_dim;
  AttentionState states[kAttentionRows], part_states[kAttentionRows];
  span_of(a, 0, states, wide);
  const int64_t longest = *std::max_element(a.visible, a.visible + a.rows);
  for (int64_t span = 1; span * kSpan < longest; ++span) {
    Attention part = a;
    part.out = part_of;
    span_of(part, span, part_states, wide);
    for (int64_t row = 0; row < rows; ++row) {
      kernel.join(&states[row], a.out[row], &part_states[row], part_of[row], a.head_dim);
    }
  }
  for (int64_t row = 0; row < rows; ++row) kernel.finish(&states[row], a.head_dim, a.out[row]);
}

void join_spans(std::span<float> parts_SA, std::span<AttentionState> states_S, std::span<float> out_A) {
  const auto n = static_cast<int64_t>(out_A.size());
  for (size_t s = 1; s < states_S.size(); ++s) {
    fast().join(&states_S[0], parts_SA.data(), &states_S[s], parts_SA.data() + static_cast<int64_t>(s) * n, n);
  }
  std::copy_n(parts_SA.begin(), n, out_A.begin());
  fast().finish(&states_S[0], n, out_A.data());
}

void attention_ref(const Attention& a) {
  for (int64_t row = 0; row < a.all_rows(); ++row) {
    const int64_t head = row / a.rows;
    const auto stored = [&](const char* plane, size_t position, int64_t d) {
      return double{cached_at(a.type, plane, a.head_dim, static_cast<int64_t>(position) % kCacheBlock, d)};
    };
    const auto block = [](size_t position) { return static_cast<int64_t>(position) / kCacheBlock; };
    std::vector<double> weights(static_cast<size_t>(a.visible[row % a.rows]));
    for (size_t j = 0; j < weights.size(); ++j) {
      for (int64_t d = 0; d < a.head_dim; ++d) weights[j] += a.queries[row][d] * stored(a.keys(block(j), head), j, d);
      weights[j] *= a.scale;
    }
    const double top = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - top);
    for (int64_t d = 0; d < a.head_dim; ++d) {
      double sum = 0;
      for (size_t j = 0; j < weights.size(); ++j) sum += weights[j] * stored(a.values(block(j), head), j, d);
      a.out[row][d] = static_cast<float>(sum / total);
    }
  }
}

void store_cached(CacheType type, std::span<const float> row, void* plane, int64_t position_in_block) {
  DSMOE_CHECK(position_in_block >= 0 && position_in_block < kCacheBlock, "a position of the block");
  fast().store[static_cast<size_t>(type)](row.data(), static_cast<int64_t>(row.size()), plane, position_in_block);
}

void store_cached_ref(CacheType type, std::span<const float> row, void* plane, int64_t position_in_block) {
  const size_t n = row.size(), begin = static_cast<size_t>(position_in_block) * n;
  if (type == CacheType::kF32) std::copy(row.begin(), row.end(), static_cast<float*>(plane) + begin);
  if (type == CacheType::kF16) {
    for (size_t d = 0; d < n; ++d) static_cast<uint16_t*>(plane)[begin + d] = base::f32_to_f16(row[d]);
  }
  if (type != CacheType::kQ8) return;
  auto* integers = static_cast<int8_t*>(plane);
  auto* scales = reinterpret_cast<uint16_t*>(integers + static_cast<size_t>(kCacheBlock) * n);
  for (size_t first = 0; first < n; first += static_cast<size_t>(kCacheGroup)) {
    const auto group = row.subspan(first, std::min(static_cast<size_t>(kCacheGroup), n - first));
    float top = 0;
    bool finite = true;
    for (const float x : group) {
      top = std::max(top, std::abs(x));
      finite = finite && std::isfinite(x);
    }
    const float step = std::min(top / 127, kLargestCacheScale), inverse = step >= kSmallestCacheStep ? 1 / step : 0;
    const size_t groups = static_cast<size_t>(cache_groups(static_cast<int64_t>(n)));
    scales[static_cast<size_t>(position_in_block) * groups + first / static_cast<size_t>(kCacheGroup)] =
        base::f32_to_f16(finite ? step : std::numeric_limits<float>::quiet_NaN());
    for (size_t i = 0; i < group.size(); ++i) {
      const float q = std::isnan(group[i] * inverse) ? 127 : std::clamp(group[i] * inverse, -127.0f, 127.0f);
      integers[begin + first + i] = static_cast<int8_t>(std::nearbyint(q));
    }
  }
}

float cached_at(CacheType type, const void* plane, int64_t head_dim, int64_t position_in_block, int64_t d) {
  const int64_t at = position_in_block * head_dim + d;
  switch (type) {
    case CacheType::kF32:
      return static_cast<const float*>(plane)[at];
    case CacheType::kF16:
      return base::f16_to_f32(static_cast<const uint16_t*>(plane)[at]);
    case CacheType::kQ8: {
      const auto* integers = static_cast<const int8_t*>(plane);
      const auto* scales = reinterpret_cast<const uint16_t*>(integers + kCacheBlock * head_dim);
      return static_cast<float>(integers[at]) *
             base::f16_to_f32(scales[position_in_block * cache_groups(head_dim) + d / kCacheGroup]);
    }
  }
  DSMOE_CHECK(false, "a known type of cache");
  return 0;
}

}  // namespace dsmoe::kernels
