#include "kernels/attend.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"

namespace dsmoe::kernels {

void attention(const Attention& a) {
  DSMOE_CHECK(a.rows <= kAttentionRows, "no more rows than a call takes");
  kernels().attention(a);
}

void attention_ref(const Attention& a) {
  const auto stored = [&](int64_t at, size_t position) {
    const auto j = static_cast<int64_t>(position);
    return a.blocks[j / kCacheBlock] + at + j % kCacheBlock * a.head_dim;
  };
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* query = a.queries[row];
    std::vector<double> weights(static_cast<size_t>(a.visible[row]));
    for (size_t j = 0; j < weights.size(); ++j) {
      const float* key = stored(a.keys_at, j);
      for (int64_t d = 0; d < a.head_dim; ++d) weights[j] += double{query[d]} * key[d];
      weights[j] *= a.scale;
    }
    const double top = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - top);
    for (int64_t d = 0; d < a.head_dim; ++d) {
      double sum = 0;
      for (size_t j = 0; j < weights.size(); ++j) sum += weights[j] * stored(a.values_at, j)[d];
      a.out[row][d] = static_cast<float>(sum / total);
    }
  }
}

}  // namespace dsmoe::kernels
