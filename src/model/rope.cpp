#include "model/rope.h"

namespace dsmoe::model {

RotaryTable rotary_table(int64_t positions, int64_t head_size, double theta, torch::ScalarType type) {
  const auto options = torch::dtype(torch::kFloat64);
  const Tensor exponent = torch::arange(0, head_size, 2, options) / static_cast<double>(head_size);
  const Tensor angles = torch::outer(torch::arange(positions, options), torch::pow(theta, -exponent));
  return {angles.cos().to(type), angles.sin().to(type)};
}

Tensor rotate(const Tensor& x_BSHA, const RotaryTable& table) {
  const auto twice = [&](const Tensor& t) { return torch::cat({t, t}, 1).narrow(0, 0, x_BSHA.size(1)).unsqueeze(1); };
  const auto halves = x_BSHA.chunk(2, -1);
  return x_BSHA * twice(table.cos_SA) + torch::cat({-halves[1], halves[0]}, -1) * twice(table.sin_SA);
}

}  // namespace dsmoe::model
