// Enums as files spell them. An enum takes part by an overload `enum_names(Enum)` beside its definition, which lists
// the names in the order of the values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace dsmoe::spec {

template <class Enum>
std::string enum_text(Enum value) {
  return std::string(enum_names(value)[static_cast<size_t>(value)]);
}

/// "topk, hash, ..." for help and errors.
template <class Enum>
std::string enum_choices() {
  std::string all;
  for (const std::string_view name : enum_names(Enum{})) all.append(all.empty() ? "" : ", ").append(name);
  return all;
}

/// Throws Error(kInvalid) `[where] key must be one of ...: "found"; did you mean ...?`.
template <class Enum>
Enum parse_enum(std::string_view text, std::string_view key, std::string_view where) {
  const auto names = enum_names(Enum{});
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  const std::string near = base::nearest(text, std::vector<std::string>(names.begin(), names.end()));
  base::fail_invalid(where, std::string(key) + " must be one of " + enum_choices<Enum>(), base::in_quotes(text),
                     near.empty() ? std::string() : "did you mean " + near + "?");
}

}  // namespace dsmoe::spec
