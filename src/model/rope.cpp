#include "model/rope.h"

#include "moe/rows.h"

namespace dsmoe::model {

RotaryTable rotary_table(int64_t positions, int64_t head_size, double theta, torch::ScalarType type) {
  const auto options = torch::dtype(torch::kFloat64);
  const Tensor exponent = torch::arange(0, head_size, 2, options) / static_cast<double>(head_size);
  const Tensor angles = torch::outer(torch::arange(positions, options), torch::pow(theta, -exponent));
  return {angles.cos().to(type), angles.sin().to(type)};
}

Tensor rotate(const Tensor& x_BSHA, const RotaryTable& table, int direction, double scale) {
  const int64_t batch = x_BSHA.size(0), positions = x_BSHA.size(1), heads = x_BSHA.size(2), size = x_BSHA.size(3);
  const int64_t half = size / 2;
  const auto type = moe::wide(x_BSHA.scalar_type());
  const Tensor cos = table.cos_SA.narrow(0, 0, positions).to(type) * scale;
  const Tensor sin = table.sin_SA.narrow(0, 0, positions).to(type) * scale;
  Tensor out = torch::empty({batch, positions, heads, size}, x_BSHA.options());
  // Pieces run over positions, all sequences at once, so that a piece shares its angles.
  moe::for_row_pieces(
      x_BSHA, positions, moe::rows_per_piece(batch * heads * size), [&](int64_t, int64_t begin, int64_t end) {
        const int64_t rows = end - begin;
        const Tensor c = cos.narrow(0, begin, rows).unsqueeze(1), s = sin.narrow(0, begin, rows).unsqueeze(1);
        const Tensor x = x_BSHA.narrow(1, begin, rows).to(type), y = out.narrow(1, begin, rows);
        const Tensor low = x.narrow(3, 0, half), high = x.narrow(3, half, half);
        y.narrow(3, 0, half).copy_((low * c).addcmul_(high, s, -direction));
        y.narrow(3, half, half).copy_((high * c).addcmul_(low, s, direction));
      });
  return out;
}

Tensor rotate_reference(const Tensor& x_BSHA, const RotaryTable& table) {
  const auto twice = [&](const Tensor& t) { return torch::cat({t, t}, 1).narrow(0, 0, x_BSHA.size(1)).unsqueeze(1); };
  const auto halves = x_BSHA.chunk(2, -1);
  return x_BSHA * twice(table.cos_SA) + torch::cat({-halves[1], halves[0]}, -1) * twice(table.sin_SA);
}

}  // namespace dsmoe::model
