#include "apps/weight_sizes.h"

#include <algorithm>
#include <map>

namespace dsmoe::apps {
namespace {

constexpr const char* kTypeNames[kernels::kWeightTypes] = {"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",
                                                           "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"};

}  // namespace

WeightSizes weight_sizes(const engine::Weights& weights) {
  std::map<kernels::WeightType, int64_t> bytes;
  WeightSizes sizes;
  weights.for_each_matrix([&](const kernels::Matrix& m, double share) {
    const int64_t own = kernels::matrix_bytes(m);
    bytes[m.type] += own;
    sizes.all += own;
    sizes.per_token += static_cast<int64_t>(share * static_cast<double>(own));
  });
  const auto most = std::max_element(bytes.begin(), bytes.end(), [](auto& a, auto& b) { return a.second < b.second; });
  sizes.type = kTypeNames[static_cast<size_t>(most->first)];
  return sizes;
}

}  // namespace dsmoe::apps
