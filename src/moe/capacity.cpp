#include "moe/capacity.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace dsmoe::moe {

int64_t expert_capacity(double factor, int64_t tokens, int64_t chosen, int64_t experts) {
  const double share = factor * static_cast<double>(tokens * chosen) / static_cast<double>(experts);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(share)));
}

void apply_capacity(Routing& routing, double factor, int64_t experts) {
  const auto device = routing.experts_TK.device();
  const int64_t tokens = routing.tokens(), chosen = routing.chosen();
  const Tensor ids = routing.experts_TK.to(torch::kCPU).contiguous();
  Tensor kept = routing.kept_TK.defined() ? routing.kept_TK.to(torch::kCPU).clone().contiguous()
                                          : torch::ones({tokens, chosen}, torch::kBool);
  const Tensor mask = routing.mask_T.defined() ? routing.mask_T.to(torch::kCPU).contiguous() : Tensor();
  const auto* id = ids.data_ptr<int64_t>();
  auto* keep = kept.data_ptr<bool>();
  const bool* real = mask.defined() ? mask.data_ptr<bool>() : nullptr;

  std::vector<int64_t> room(static_cast<size_t>(experts),
                            expert_capacity(factor, routing.real_tokens(), chosen, experts));
  for (int64_t k = 0; k < chosen; ++k) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t slot = t * chosen + k;
      if (!keep[slot] || (real && !real[t])) continue;
      int64_t& left = room[static_cast<size_t>(id[slot])];
      if (left > 0) {
        --left;
      } else {
        keep[slot] = false;
      }
    }
  }
  routing.kept_TK = kept.to(device);
}

}  // namespace dsmoe::moe
