// How rules of a configuration are stated: one line each, throwing Error(kInvalid) with rule, value and hint. Internal
// to the room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace dsmoe::spec {

inline void require(bool holds, std::string_view where, const std::string& rule, const std::string& found,
                    std::string_view hint = {}) {
  if (!holds) base::fail_invalid(where, rule, found, hint);
}

inline void in_range(std::string_view where, const char* name, int64_t value, int64_t least, int64_t most) {
  require(value >= least && value <= most, where,
          std::string(name) + " must be from " + std::to_string(least) + " to " + std::to_string(most),
          std::to_string(value));
}

/// 0.1 as 0.1, not 0.100000.
std::string number_text(double value);

/// least <= value <= most; nan is in no range.
inline void in_range(std::string_view where, const char* name, double value, double least, double most) {
  require(value >= least && value <= most, where,
          std::string(name) + " must be from " + number_text(least) + " to " + number_text(most), number_text(value));
}

/// Like in_range without its ends.
inline void inside(std::string_view where, const char* name, double value, double least, double most) {
  require(value > least && value < most, where,
          std::string(name) + " must lie between " + number_text(least) + " and " + number_text(most),
          number_text(value));
}

}  // namespace dsmoe::spec
