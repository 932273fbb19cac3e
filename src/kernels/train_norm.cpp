#include "kernels/train_norm.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/product.h"

namespace dsmoe::kernels {
namespace {

// Rows whose gradients of the weight make one partial sum.
constexpr int64_t kChunkRows = 64;

const std::byte* at(const void* data, Number type, int64_t element) {
  return static_cast<const std::byte*>(data) + element * number_bytes(type);
}
std::byte* at(void* data, Number type, int64_t element) {
  return static_cast<std::byte*>(data) + element * number_bytes(type);
}

double number(Number type, const void* data, int64_t i) {
  return type == Number::kF32 ? static_cast<const float*>(data)[i] : from_bf16(static_cast<const uint16_t*>(data)[i]);
}
void put(Number type, void* data, int64_t i, double value) {
  const auto narrow = static_cast<float>(value);
  if (type == Number::kF32) {
    static_cast<float*>(data)[i] = narrow;
  } else {
    static_cast<uint16_t*>(data)[i] = to_bf16(narrow);
  }
}

}  // namespace

void train_norm(const base::ParallelFor& parallel_for, const TrainNorm& norm, void* y) {
  DSMOE_CHECK(norm.width > 0, "rows of at least one number");
  const auto kernel = kernels().train.norm_row[static_cast<size_t>(norm.type)];
  parallel_for(norm.rows, kChunkRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      norm.inverse[t] = kernel(at(norm.x, norm.type, t * norm.width), norm.weight, norm.width, norm.eps,
                               at(y, norm.type, t * norm.width));
    }
  });
}

void train_norm_ref(const base::ParallelFor&, const TrainNorm& norm, void* y) {
  for (int64_t t = 0; t < norm.rows; ++t) {
    double squares = 0;
    for (int64_t d = 0; d < norm.width; ++d) squares += std::pow(number(norm.type, norm.x, t * norm.width + d), 2);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(norm.width) + norm.eps);
    norm.inverse[t] = static_cast<float>(inverse);
    for (int64_t d = 0; d < norm.width; ++d) {
      const int64_t i = t * norm.width + d;
      put(norm.type, y, i, number(norm.type, norm.x, i) * inverse);
      put(norm.type, y, i, number(norm.type, y, i) * number(norm.type, norm.weight, d));
    }
  }
}

void train_norm_backward(const base::ParallelFor& parallel_for, const TrainNorm& norm, const TrainNormGrad& grad) {
  const int64_t chunks = (norm.rows + kChunkRows - 1) / kChunkRows, width = norm.width;
  std::vector<float> partial(static_cast<size_t>(chunks * width));
  const auto kernel = kernels().train.norm_grad_row[static_cast<size_t>(norm.type)];
  parallel_for(norm.rows, kChunkRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const NormGradRow row{at(norm.x, norm.type, t * width),
                            at(grad.grad_y, norm.type, t * width),
                            norm.weight,
                            grad.add ? at(grad.add, norm.type, t * width) : nullptr,
                            width,
                            norm.inverse[t],
                            at(grad.grad_x, norm.type, t * width),
                            partial.data() + begin / kChunkRows * width};
      kernel(row);
    }
  });
  std::fill_n(grad.grad_weight, width, 0.0f);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    kernels().add_scaled(1, partial.data() + chunk * width, width, grad.grad_weight);
  }
}

void train_norm_backward_ref(const base::ParallelFor&, const TrainNorm& norm, const TrainNormGrad& grad) {
  const int64_t width = norm.width;
  std::vector<double> grad_weight(static_cast<size_t>(width));
  for (int64_t t = 0; t < norm.rows; ++t) {
    const double inverse = norm.inverse[t];
    const auto of = [&](const void* data, int64_t d) { return number(norm.type, data, t * width + d); };
    double sum = 0;
    for (int64_t d = 0; d < width; ++d) {
      const double normed = of(norm.x, d) * inverse;
      sum += of(grad.grad_y, d) * number(norm.type, norm.weight, d) * normed;
      grad_weight[static_cast<size_t>(d)] += of(grad.grad_y, d) * normed;
    }
    const double mean = sum / static_cast<double>(width);
    for (int64_t d = 0; d < width; ++d) {
      const double g = of(grad.grad_y, d) * number(norm.type, norm.weight, d);
      put(norm.type, grad.grad_x, t * width + d,
          inverse * (g - of(norm.x, d) * inverse * mean) + (grad.add ? of(grad.add, d) : 0));
    }
  }
  for (int64_t d = 0; d < width; ++d) {
    grad.grad_weight[d] = static_cast<float>(grad_weight[static_cast<size_t>(d)]);
  }
}

}  // namespace dsmoe::kernels
