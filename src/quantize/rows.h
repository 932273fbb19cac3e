// Rows of a stored matrix into rows of another type, and what that cost.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "formats/dtype.h"
#include "formats/gguf.h"

namespace dsmoe::quantize {

/// Sums over values. Those of a tensor are its rows' in order, so they do not depend on threads.
struct ErrorSums {
  double values = 0;         ///< how many
  double squares = 0;        ///< of the values
  double error_squares = 0;  ///< of what they became less what they were
  double largest_error = 0;  ///< by magnitude
  double rms() const;        ///< root of the mean squared error
  double relative() const;   ///< root of error_squares / squares; 0 where nothing is lost
  ErrorSums& operator+=(const ErrorSums& other);
};

struct Row {
  std::string_view tensor;  ///< for errors, with `index`
  int64_t index = 0;
  formats::Dtype dtype = formats::Dtype::kF32;  ///< a float
  std::span<const std::byte> stored;
  formats::GgufType type = formats::GgufType::kF32;
  std::span<std::byte> out;
};

/// Fills row.out. Throws Error(kInvalid) naming tensor, row and column for a value that is not finite, or that F16
/// cannot hold where that is the type. `work` is scratch that grows.
ErrorSums convert_row(const Row& row, std::vector<float>& work);

/// Bytes of a row of n values.
size_t row_bytes(formats::GgufType type, int64_t n);

}  // namespace dsmoe::quantize
