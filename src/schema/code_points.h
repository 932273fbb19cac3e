// Sets of Unicode code points as ranges. Surrogates are no characters and are in none of them.
#pragma once

#include <cstdint>
#include <vector>

namespace dsmoe::schema {

inline constexpr uint32_t kLastCodePoint = 0x10ffff;

/// Both ends belong to it; empty where `most` is below `least`.
struct CodePoints {
  uint32_t least = 1, most = 0;
  bool operator==(const CodePoints&) const = default;
};

/// Ascending, apart from each other.
using CodePointSet = std::vector<CodePoints>;

/// The union of any ranges, without surrogates.
CodePointSet united(std::vector<CodePoints> ranges);
/// Every code point that is not in `set`.
CodePointSet complement(const CodePointSet& set);
inline CodePointSet all_code_points() { return united({{0, kLastCodePoint}}); }

}  // namespace dsmoe::schema
