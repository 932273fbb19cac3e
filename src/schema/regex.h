// A regular expression as a tree.
//
// ECMA-262's syntax over code points, as JSON Schema has it in `pattern`: literals, dot, classes, \d \w \s and their
// opposites, groups, alternatives, quantifiers (lazy ones mean the same texts), ^ and $ at the ends of an alternative.
// Look-ahead, look-behind, back references, \b, \p and anchors elsewhere are refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/code_points.h"

namespace dsmoe::schema {

inline constexpr int32_t kEndless = -1;

struct Regex {
  enum class Kind : uint8_t { kCharacter, kSequence, kAlternatives, kRepeat };
  Kind kind = Kind::kSequence;
  CodePointSet set = {};          ///< of a character
  std::vector<Regex> parts = {};  ///< an empty sequence is the empty text
  int32_t least = 1, most = 1;    ///< of a repeat, whose only part it repeats; kEndless: without a bound
};

/// The whole texts in which `pattern` finds something: what may stand around it unless it is anchored is part of the
/// tree. Throws Error(kInvalid) with the place in the schema, the rule and the character where it does not hold.
Regex parse_regex(std::string_view pattern, const std::string& place);

}  // namespace dsmoe::schema
