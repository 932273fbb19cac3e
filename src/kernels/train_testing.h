// For the tests of the training step's kernels: numbers of either type as bytes, and comparison of whole tensors.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/panel_product.h"
#include "kernels/product.h"
#include "kernels/testing.h"

namespace dsmoe::kernels::testing {

/// Bytes of `values` in a type.
inline std::vector<uint8_t> numbers(Number type, const std::vector<float>& values) {
  std::vector<uint8_t> bytes(values.size() * static_cast<size_t>(number_bytes(type)));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t narrow = to_bf16(values[i]);
    if (type == Number::kF32) {
      std::memcpy(&bytes[4 * i], &values[i], 4);
    } else {
      std::memcpy(&bytes[2 * i], &narrow, 2);
    }
  }
  return bytes;
}
inline std::vector<float> floats(Number type, const std::vector<uint8_t>& bytes) {
  std::vector<float> values(bytes.size() / static_cast<size_t>(number_bytes(type)));
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t narrow = 0;
    if (type == Number::kF32) {
      std::memcpy(&values[i], &bytes[4 * i], 4);
    } else {
      std::memcpy(&narrow, &bytes[2 * i], 2);
      values[i] = from_bf16(narrow);
    }
  }
  return values;
}
/// Outputs before a kernel wrote them.
inline std::vector<uint8_t> rubbish(Number type, int64_t count) {
  return numbers(type, std::vector<float>(static_cast<size_t>(count), 77));
}
inline std::string type_label(Number type) { return type == Number::kF32 ? " f32" : " bf16"; }

inline double norm(const std::vector<float>& x) {
  double squares = 0;
  for (const float value : x) squares += double{value} * value;
  return std::sqrt(squares);
}
/// |got - want| <= bound |want| as vectors.
inline void expect_near(const std::vector<float>& got, const std::vector<float>& want, double bound,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  std::vector<float> difference(got.size());
  for (size_t i = 0; i < got.size(); ++i) difference[i] = got[i] - want[i];
  EXPECT_LE(norm(difference), bound * norm(want)) << what;
}

}  // namespace dsmoe::kernels::testing
