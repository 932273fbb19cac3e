// Values of config.json as its keys are checked by. Inside the room only.
#pragma once

#include "base/json.h"

namespace dsmoe::formats {

/// A member; null where it is not there or null, which the formats' classes take for silence.
inline const base::Json* find(const base::Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

inline bool is_number(const base::Json& value, double wanted) {
  return value.is_number() && value.get<double>() == wanted;
}

/// False, 0, and what is empty.
inline bool is_off(const base::Json& value) {
  return value == base::Json(false) || is_number(value, 0) || value == base::Json("") ||
         (value.is_structured() && value.empty());
}

}  // namespace dsmoe::formats
