// Element types of stored tensors, under safetensors' names, and the step to and from float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace dsmoe::formats {

/// Everything the safetensors format knows. dsmoe computes with the floats of 16, 32 and 64 bits and with integers;
/// the others are here so that a file holding them is checked rightly.
enum class Dtype {
  kBool,
  kF4,
  kF6E2m3,
  kF6E3m2,
  kU8,
  kI8,
  kF8E5m2,
  kF8E4m3,
  kF8E8m0,
  kF8E4m3fnuz,
  kF8E5m2fnuz,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

std::string_view name_of(Dtype dtype);                 // "BF16"
std::optional<Dtype> dtype_of(std::string_view name);  // exactly as the format spells it
/// Bits of one element: 4 and 6 for the packed floats, else a multiple of 8.
uint32_t bits_of(Dtype dtype);
/// F16, BF16, F32 or F64: what a weight may be.
bool is_float(Dtype dtype);

/// Bytes of a tensor. False when a product leaves 64 bits, a size is negative, or the elements do not end on a byte.
[[nodiscard]] bool tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape, uint64_t& bytes);

/// A tensor somebody else owns. The bytes may lie at any address: no alignment is promised.
struct TensorView {
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  int64_t numel() const;
};

/// Any float dtype to float32; `out` has as many elements as `bytes` holds. F64 rounds to nearest.
void to_f32(Dtype dtype, std::span<const std::byte> bytes, std::span<float> out);
/// float32 to F32, BF16 or F16, rounding to nearest even; `out` has exactly the bytes needed.
void from_f32(std::span<const float> values, Dtype dtype, std::span<std::byte> out);

}  // namespace dsmoe::formats
