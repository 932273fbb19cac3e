#include "kernels/rows.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/isa.h"

namespace dsmoe::kernels {
namespace {

int64_t length(std::span<const float> x) { return static_cast<int64_t>(x.size()); }

int64_t rows_of(std::span<const float> x, std::span<const float> out, int64_t n) {
  DSMOE_CHECK(n > 0 && length(x) % n == 0, "whole rows");
  DSMOE_CHECK(x.size() == out.size(), "as many outputs as inputs");
  return length(x) / n;
}

}  // namespace

void rms_norm(std::span<const float> x_TD, std::span<const float> weight_D, double eps, std::span<float> out_TD) {
  const int64_t n = length(weight_D), rows = rows_of(x_TD, out_TD, n);
  const auto kernel = kernels().rms_norm;
  for (int64_t t = 0; t < rows; ++t) kernel(x_TD.data() + t * n, weight_D.data(), n, eps, out_TD.data() + t * n);
}

void rms_norm_ref(std::span<const float> x_TD, std::span<const float> weight_D, double eps, std::span<float> out_TD) {
  const size_t n = weight_D.size();
  for (size_t begin = 0; begin < x_TD.size(); begin += n) {
    double squares = 0;
    for (size_t i = 0; i < n; ++i) squares += double{x_TD[begin + i]} * x_TD[begin + i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
    for (size_t i = 0; i < n; ++i) {
      out_TD[begin + i] = static_cast<float>(x_TD[begin + i] * inverse * weight_D[i]);
    }
  }
}

RopeTable::RopeTable(int64_t head_dim, double theta, int64_t positions) : half_(head_dim / 2) {
  for (int64_t i = 0; i < half_; ++i) {
    frequencies_.push_back(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
  }
  reach(positions);
}

void RopeTable::reach(int64_t positions) {
  for (int64_t position = length(cosines_) / std::max<int64_t>(1, half_); position < positions; ++position) {
    for (const double frequency : frequencies_) {
      const double angle = static_cast<double>(position) * frequency;
      cosines_.push_back(static_cast<float>(std::cos(angle)));
      sines_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

void rope(std::span<float> heads, const RopeTable& table, int64_t position) {
  const int64_t head_dim = 2 * table.half();
  DSMOE_CHECK(length(heads) % head_dim == 0, "whole heads");
  const auto kernel = kernels().rope;
  for (int64_t begin = 0; begin < length(heads); begin += head_dim) {
    kernel(heads.data() + begin, table.cosines(position).data(), table.sines(position).data(), table.half());
  }
}

void rope_ref(std::span<float> heads, const RopeTable& table, int64_t position) {
  const size_t half = static_cast<size_t>(table.half());
  const auto cosines = table.cosines(position), sines = table.sines(position);
  for (size_t begin = 0; begin < heads.size(); begin += 2 * half) {
    for (size_t i = 0; i < half; ++i) {
      const double a = heads[begin + i], b = heads[begin + half + i];
      heads[begin + i] = static_cast<float>(a * cosines[i] - b * sines[i]);
      heads[begin + half + i] = static_cast<float>(b * cosines[i] + a * sines[i]);
    }
  }
}

void rope_pairs(std::span<const float> pairs, const RopeTable& table, int64_t position, std::span<float> heads) {
  const int64_t head_dim = 2 * table.half();
  DSMOE_CHECK(length(heads) % head_dim == 0 && heads.size() == pairs.size(), "whole heads");
  const auto kernel = kernels().rope_pairs;
  for (int64_t begin = 0; begin < length(heads); begin += head_dim) {
    kernel(pairs.data() + begin, table.cosines(position).data(), table.sines(position).data(), table.half(),
           heads.data() + begin);
  }
}

void rope_pairs_ref(std::span<const float> pairs, const RopeTable& table, int64_t position, std::span<float> heads) {
  const size_t half = static_cast<size_t>(table.half());
  for (size_t begin = 0; begin < heads.size(); begin += 2 * half) {
    for (size_t i = 0; i < half; ++i) {
      heads[begin + i] = pairs[begin + 2 * i];
      heads[begin + half + i] = pairs[begin + 2 * i + 1];
    }
  }
  rope_ref(heads, table, position);
}

void softmax(std::span<const float> x, int64_t n, std::span<float> out) {
  const int64_t rows = rows_of(x, out, n);
  const auto kernel = kernels().softmax;
  for (int64_t t = 0; t < rows; ++t) kernel(x.data() + t * n, n, out.data() + t * n);
}

void softmax_ref(std::span<const float> x, int64_t n, std::span<float> out) {
  const int64_t rows = rows_of(x, out, n);
  std::vector<double> e(static_cast<size_t>(n));
  for (int64_t t = 0; t < rows; ++t) {
    const auto row = x.subspan(static_cast<size_t>(t * n), e.size());
    const double top = *std::max_element(row.begin(), row.end());
    double total = 0;
    for (size_t i = 0; i < e.size(); ++i) total += e[i] = std::exp(row[i] - top);
    for (size_t i = 0; i < e.size(); ++i) out[static_cast<size_t>(t * n) + i] = static_cast<float>(e[i] / total);
  }
}

void silu_mul(std::span<const float> gate, std::span<const float> up, std::span<float> out) {
  DSMOE_CHECK(gate.size() == up.size() && gate.size() == out.size(), "equal lengths");
  kernels().silu_mul(gate.data(), up.data(), length(gate), out.data());
}

void silu_mul_ref(std::span<const float> gate, std::span<const float> up, std::span<float> out) {
  for (size_t i = 0; i < gate.size(); ++i) {
    out[i] = static_cast<float>(gate[i] / (1 + std::exp(-double{gate[i]})) * up[i]);
  }
}

void add_scaled(float scale, std::span<const float> x, std::span<float> y) {
  DSMOE_CHECK(x.size() == y.size(), "equal lengths");
  kernels().add_scaled(scale, x.data(), length(x), y.data());
}

void add_scaled_ref(float scale, std::span<const float> x, std::span<float> y) {
  for (size_t i = 0; i < x.size(); ++i) y[i] = static_cast<float>(double{y[i]} + double{scale} * x[i]);
}

void exponential(std::span<const float> x, std::span<float> out) {
  DSMOE_CHECK(x.size() == out.size(), "equal lengths");
  kernels().exponential(x.data(), length(x), out.data());
}

void exponential_ref(std::span<const float> x, std::span<float> out) {
  for (size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(std::exp(double{x[i]}));
}

double log_sum_exp(std::span<const float> x) {
  DSMOE_CHECK(!x.empty(), "a row has values");
  float top = 0;
  const double total = kernels().exponential_sum(x.data(), length(x), &top);
  return std::log(total) + top;
}

double log_sum_exp_ref(std::span<const float> x) {
  const double top = *std::max_element(x.begin(), x.end());
  double total = 0;
  for (const float value : x) total += std::exp(value - top);
  return std::log(total) + top;
}

}  // namespace dsmoe::kernels
