// How a schema that cannot be held to is refused.
#pragma once

#include <string>

#include "base/error.h"

namespace dsmoe::schema {

/// Throws Error(kInvalid) with the rule and the place in the schema ("#/properties/name").
[[noreturn]] inline void refuse(const std::string& place, const std::string& rule) {
  base::fail_invalid("schema", rule, "at " + base::in_quotes(place, 200));
}

}  // namespace dsmoe::schema
