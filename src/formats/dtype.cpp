#include "formats/dtype.h"

#include <array>
#include <cstring>

#include "base/bits.h"
#include "base/checked.h"
#include "base/error.h"

namespace dsmoe::formats {
namespace {

struct Entry {
  std::string_view name;
  uint32_t bits;
};
// in the order of the enumeration
constexpr std::array<Entry, 22> kEntries = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

// Elements one by one through memcpy, since a mapped file aligns nothing; compilers make plain loads of it.
template <class Stored, class Convert>
void read_each(std::span<const std::byte> bytes, std::span<float> out, Convert convert) {
  DSMOE_CHECK(bytes.size() == out.size() * sizeof(Stored), "one float per stored element");
  for (size_t i = 0; i < out.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(stored);
  }
}

template <class Stored, class Convert>
void write_each(std::span<const float> values, std::span<std::byte> out, Convert convert) {
  DSMOE_CHECK(out.size() == values.size() * sizeof(Stored), "one stored element per float");
  for (size_t i = 0; i < values.size(); ++i) {
    const Stored stored = convert(values[i]);
    std::memcpy(out.data() + i * sizeof(Stored), &stored, sizeof(Stored));
  }
}

}  // namespace

std::string_view name_of(Dtype dtype) { return kEntries[static_cast<size_t>(dtype)].name; }

std::optional<Dtype> dtype_of(std::string_view name) {
  for (size_t i = 0; i < kEntries.size(); ++i) {
    if (kEntries[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

uint32_t bits_of(Dtype dtype) { return kEntries[static_cast<size_t>(dtype)].bits; }

bool is_float(Dtype dtype) {
  return dtype == Dtype::kF16 || dtype == Dtype::kBf16 || dtype == Dtype::kF32 || dtype == Dtype::kF64;
}

bool tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape, uint64_t& bytes) {
  uint64_t bits = 1;
  for (const int64_t size : shape) {
    if (size < 0 || !base::multiply(bits, static_cast<uint64_t>(size), bits)) return false;
  }
  if (!base::multiply(bits, uint64_t{bits_of(dtype)}, bits) || bits % 8 != 0) return false;
  bytes = bits / 8;
  return true;
}

int64_t TensorView::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

void to_f32(Dtype dtype, std::span<const std::byte> bytes, std::span<float> out) {
  switch (dtype) {
    case Dtype::kF32:
      return read_each<float>(bytes, out, [](float x) { return x; });
    case Dtype::kBf16:
      return read_each<uint16_t>(bytes, out, base::bf16_to_f32);
    case Dtype::kF16:
      return read_each<uint16_t>(bytes, out, base::f16_to_f32);
    case Dtype::kF64:
      return read_each<double>(bytes, out, [](double x) { return static_cast<float>(x); });
    default:
      base::fail_invalid("tensor", "not a float dtype that dsmoe computes with", name_of(dtype));
  }
}

void from_f32(std::span<const float> values, Dtype dtype, std::span<std::byte> out) {
  switch (dtype) {
    case Dtype::kF32:
      return write_each<float>(values, out, [](float x) { return x; });
    case Dtype::kBf16:
      return write_each<uint16_t>(values, out, base::f32_to_bf16);
    case Dtype::kF16:
      return write_each<uint16_t>(values, out, base::f32_to_f16);
    default:
      base::fail_invalid("tensor", "floats are stored as F32, BF16 or F16", name_of(dtype));
  }
}

}  // namespace dsmoe::formats
