#include "kernels/topk.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/rows.h"

namespace dsmoe::kernels {
namespace {

bool is_before(std::span<const float> values, int32_t a, int32_t b) {
  const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
  if (std::isnan(x) || std::isnan(y)) return std::isnan(x) == std::isnan(y) ? a < b : std::isnan(y);
  return x != y ? x > y : a < b;
}

}  // namespace

// Insertion into the sorted few. Indices come in ascending order, so an equal value never overtakes; most values lose
// against the last of the few at once.
void top_k(std::span<const float> values, std::span<int32_t> ids) {
  DSMOE_CHECK(ids.size() <= values.size(), "at most as many as there are");
  if (ids.empty()) return;
  size_t found = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (found == ids.size() && !is_before(values, id, ids[found - 1])) continue;
    size_t at = found < ids.size() ? found++ : found - 1;
    for (; at > 0 && is_before(values, id, ids[at - 1]); --at) ids[at] = ids[at - 1];
    ids[at] = id;
  }
}

void top_k_ref(std::span<const float> values, std::span<int32_t> ids) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return is_before(values, a, b); });
  std::copy_n(order.begin(), ids.size(), ids.begin());
}

void softmax_top_k(std::span<float> row_E, std::span<int32_t> ids_K) {
  DSMOE_CHECK(!row_E.empty() && ids_K.size() <= row_E.size(), "at most as many as there are");
  kernels().softmax_top_k(row_E.data(), static_cast<int64_t>(row_E.size()), ids_K.data(),
                          static_cast<int64_t>(ids_K.size()));
}

void softmax_top_k_ref(std::span<float> row_E, std::span<int32_t> ids_K) {
  softmax(row_E, static_cast<int64_t>(row_E.size()), row_E);
  top_k_ref(row_E, ids_K);
}

}  // namespace dsmoe::kernels
