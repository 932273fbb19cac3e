#include "quantize/rows.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/element_types.h"
#include "kernels/blocks.h"
#include "kernels/element_types.h"

namespace dsmoe::quantize {
namespace {

using formats::Dtype;
using formats::GgufType;

base::ElementType weight_element(GgufType type) {
  const auto found = formats::element_type(type);
  DSMOE_CHECK(found.has_value(), "a type of weights");
  return *found;
}

Dtype float_dtype(GgufType type) { return formats::dtype_of(weight_element(type)).value(); }

kernels::BlockType block_type(GgufType type) { return kernels::block_type(kernels::weight_type(weight_element(type))); }

void require_finite(const Row& row, std::span<const float> values) {
  // a sum that is finite has no NaN and no infinity in it; this pass is for the error's text
  const float largest = row.type == GgufType::kF16 ? 65504.0f : INFINITY;
  bool good = true;
  for (const float value : values) good &= std::abs(value) <= largest && std::abs(value) < INFINITY;
  if (good) return;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && std::abs(values[i]) <= largest) continue;
    const bool finite = std::isfinite(values[i]);
    base::fail_invalid("quantize", finite ? "F16 holds values to 65504" : "weights must be finite",
                       std::string(row.tensor) + " has " + std::to_string(values[i]) + " in row " +
                           std::to_string(row.index) + ", column " + std::to_string(i),
                       finite ? "bf16 holds them" : "");
  }
}

ErrorSums sums_of(std::span<const float> before, std::span<const float> after) {
  ErrorSums sums;
  sums.values = static_cast<double>(before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    const double error = double{after[i]} - before[i];
    sums.squares += double{before[i]} * before[i];
    sums.error_squares += error * error;
    sums.largest_error = std::max(sums.largest_error, std::abs(error));
  }
  return sums;
}

}  // namespace

double ErrorSums::rms() const { return values > 0 ? std::sqrt(error_squares / values) : 0; }
double ErrorSums::relative() const { return squares > 0 ? std::sqrt(error_squares / squares) : 0; }

ErrorSums& ErrorSums::operator+=(const ErrorSums& other) {
  values += other.values;
  squares += other.squares;
  error_squares += other.error_squares;
  largest_error = std::max(largest_error, other.largest_error);
  return *this;
}

size_t row_bytes(GgufType type, int64_t n) {
  const formats::GgufTypeInfo& info = formats::gguf_type_info(type);
  return static_cast<size_t>(n / info.block_values * info.block_bytes);
}

ErrorSums convert_row(const Row& row, std::vector<float>& work) {
  const size_t n = row.stored.size() / (formats::bits_of(row.dtype) / 8);
  work.resize(std::max(work.size(), 2 * n));
  const std::span<float> values = std::span(work).first(n), back = std::span(work).subspan(n, n);
  formats::to_f32(row.dtype, row.stored, values);
  require_finite(row, values);
  if (is_float(row.type)) {
    formats::from_f32(values, float_dtype(row.type), row.out);
    formats::to_f32(float_dtype(row.type), row.out, back);
  } else {
    const auto count = static_cast<int64_t>(n);
    kernels::quantise_ref(block_type(row.type), values.data(), count, row.out.data());
    kernels::dequantise_ref(block_type(row.type), row.out.data(), count, back.data());
  }
  return sums_of(values, back);
}

}  // namespace dsmoe::quantize
