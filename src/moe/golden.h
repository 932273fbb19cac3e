// The worked example of docs/papers.md: six tokens, eight routed experts, two chosen, four devices.
#pragma once

#include "moe/testing.h"

namespace dsmoe::moe::testing {

inline Tensor golden_logits() {
  return torch::tensor({0.942,  -1.397, -0.680, 0.371,  -1.016, -0.072, 0.179,  -0.831,  //
                        -1.309, 0.194,  0.993,  -0.647, -0.334, 1.646,  -0.559, -0.514,  //
                        2.404,  -1.531, 0.796,  -2.004, -0.597, 1.504,  1.221,  -0.901,  //
                        -0.454, 0.080,  -1.258, 0.552,  2.228,  -1.355, -1.982, 0.288,   //
                        -0.119, 1.804,  -0.160, -0.051, -0.191, -0.991, 0.673,  -1.324,  //
                        1.166,  0.008,  0.504,  -0.553, -0.920, 1.800,  0.469,  1.207},
                       torch::kFloat64)
      .view({6, 8});
}

/// A gate that gives these logits: hidden states are the logits and the router is the identity.
inline Routing golden_routing(spec::ModelConfig config, const Tensor& bias_E = {}) {
  config.hidden_size = 8;
  const auto gate = make_gate(config, {}, {graph_weight(torch::eye(8, torch::kFloat64)), bias_E, {}});
  GateInput input;
  input.x_TD = golden_logits();
  input.token_ids_T = some_ids(6);
  return gate->route(input);
}

inline spec::ModelConfig golden_config() {
  spec::ModelConfig config = small_config(8, 2);
  config.n_group = config.topk_group = 1;
  return config;
}

inline Tensor rows(const std::vector<double>& values, int64_t width) {
  return torch::tensor(values, torch::kFloat64).view({-1, width});
}
inline Tensor ids(const std::vector<int64_t>& values, int64_t width) {
  return torch::tensor(values, torch::kInt64).view({-1, width});
}

}  // namespace dsmoe::moe::testing
