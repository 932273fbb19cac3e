// The types that weights are stored in: one table of names and sizes. WeightType and BlockType (kernels), GgufType and
// Dtype (formats) are views of it, and hold to it at compile time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dsmoe::base {

/// Floats, then the quantised types: blocks of integers with a scale.
enum class ElementType : uint8_t { kF32, kF16, kBf16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4K, kQ5K, kQ6K };

struct ElementTypeInfo {
  ElementType type;
  std::string_view name;  ///< as GGUF spells it, and of floats safetensors
  int block_values;       ///< a row is a whole number of blocks; 1 for floats
  int block_bytes;
};

inline constexpr std::array<ElementTypeInfo, 11> kElementTypes = {{
    {ElementType::kF32, "F32", 1, 4},
    {ElementType::kF16, "F16", 1, 2},
    {ElementType::kBf16, "BF16", 1, 2},
    {ElementType::kQ8_0, "Q8_0", 32, 34},
    {ElementType::kQ4_0, "Q4_0", 32, 18},
    {ElementType::kQ4_1, "Q4_1", 32, 20},
    {ElementType::kQ5_0, "Q5_0", 32, 22},
    {ElementType::kQ5_1, "Q5_1", 32, 24},
    {ElementType::kQ4K, "Q4_K", 256, 144},
    {ElementType::kQ5K, "Q5_K", 256, 176},
    {ElementType::kQ6K, "Q6_K", 256, 210},
}};

constexpr const ElementTypeInfo& info_of(ElementType type) { return kElementTypes[static_cast<size_t>(type)]; }
constexpr bool is_float(ElementType type) { return info_of(type).block_values == 1; }

/// By the table's spelling; nothing for any other name.
constexpr std::optional<ElementType> element_type_named(std::string_view name) {
  for (const ElementTypeInfo& info : kElementTypes) {
    if (info.name == name) return info.type;
  }
  return std::nullopt;
}

}  // namespace dsmoe::base
