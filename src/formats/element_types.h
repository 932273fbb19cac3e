// The types of files as views of base::ElementType: nothing where a file's type is no type of weights.
#pragma once

#include <optional>

#include "base/element_types.h"
#include "formats/dtype.h"
#include "formats/gguf.h"

namespace dsmoe::formats {

/// Nothing for I32, which holds ids.
inline std::optional<base::ElementType> element_type(GgufType type) {
  return base::element_type_named(gguf_type_info(type).name);
}
inline bool is_float(GgufType type) {
  const auto element = element_type(type);
  return element && base::is_float(*element);
}
/// Nothing for what weights are not computed in as they are stored, such as F64.
inline std::optional<base::ElementType> element_type(Dtype dtype) { return base::element_type_named(name_of(dtype)); }
/// A float type's name among safetensors' types; nothing for a quantised one.
inline std::optional<Dtype> dtype_of(base::ElementType type) {
  return base::is_float(type) ? dtype_of(base::info_of(type).name) : std::nullopt;
}

}  // namespace dsmoe::formats
