// For tests: traces with routing of one's own choosing, in one mixture layer.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/rng.h"
#include "study/routing_trace.h"

namespace dsmoe::study::testing {

struct TraceShape {
  int64_t experts = 8, picks = 2;
  size_t domains = 4, windows = 6;  ///< windows of each domain
  int64_t window = 50;              ///< tokens of each
};

/// The experts of one token; `window` counts through all domains.
using Chooser = std::function<std::vector<uint16_t>(base::Rng& rng, size_t domain, size_t window)>;

/// Token ids are 0, 1, 2, 0, 1, 2, ...
inline RoutingTrace make_trace(const TraceShape& shape, const Chooser& choose, uint64_t seed = 1) {
  RoutingTrace trace;
  trace.layers = {0};
  trace.n_routed_experts = shape.experts;
  trace.num_experts_per_tok = shape.picks;
  trace.experts.resize(1);
  base::Rng rng(seed);
  for (size_t domain = 0; domain < shape.domains; ++domain) {
    trace.domains.push_back("d" + std::to_string(domain));
    for (size_t w = 0; w < shape.windows; ++w) {
      trace.windows.push_back({domain, trace.size(), trace.size() + shape.window});
      for (int64_t t = 0; t < shape.window; ++t) {
        trace.tokens.push_back(static_cast<int32_t>(trace.size() % 3));
        for (const uint16_t expert : choose(rng, domain, domain * shape.windows + w))
          trace.experts[0].push_back(expert);
      }
    }
  }
  return trace;
}

/// `picks` different ones of `experts`, expert e as likely as weights[e] among those that are left; all alike without.
inline std::vector<uint16_t> draw(base::Rng& rng, const TraceShape& shape, std::vector<double> weights = {}) {
  if (weights.empty()) weights.assign(static_cast<size_t>(shape.experts), 1.0);
  std::vector<uint16_t> picked;
  for (int64_t k = 0; k < shape.picks; ++k) {
    double left = rng.uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
    size_t e = 0;
    while (left >= weights[e] && e + 1 < weights.size()) left -= weights[e++];
    while (weights[e] == 0) --e;
    picked.push_back(static_cast<uint16_t>(e));
    weights[e] = 0;
  }
  return picked;
}

/// Every expert becomes `parts` identical ones that are picked together.
inline RoutingTrace split_experts(RoutingTrace trace, int64_t parts) {
  for (std::vector<uint16_t>& layer : trace.experts) {
    std::vector<uint16_t> split;
    for (const uint16_t expert : layer) {
      for (int64_t i = 0; i < parts; ++i) split.push_back(static_cast<uint16_t>(expert * parts + i));
    }
    layer = std::move(split);
  }
  trace.n_routed_experts *= parts;
  trace.num_experts_per_tok *= parts;
  return trace;
}

}  // namespace dsmoe::study::testing
