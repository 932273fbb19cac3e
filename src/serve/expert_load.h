// How many tokens each expert has read, for whoever watches a server.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/intervention.h"
#include "spec/model_config.h"

namespace dsmoe::serve {

/// By layer of the model and expert: [layers * experts], 0 in layers without experts. Empty where nobody counts.
using ExpertTokens = std::vector<int64_t>;

/// Counts what passes, and hands it on.
class CountedRouting : public engine::RoutingProbe {
 public:
  /// Both are kept; `next` may be null.
  CountedRouting(ExpertTokens* tokens, engine::RoutingProbe* next) : tokens_(tokens), next_(next) {}
  void on_routing(int64_t layer, const engine::RoutingView& routing) override {
    for (const int32_t expert : routing.ids_TK) {
      if (expert >= 0) ++(*tokens_)[static_cast<size_t>(layer * routing.experts + expert)];
    }
    if (next_ != nullptr) next_->on_routing(layer, routing);
  }

 private:
  ExpertTokens* tokens_;
  engine::RoutingProbe* next_;
};

}  // namespace dsmoe::serve
