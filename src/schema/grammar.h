// A JSON schema as nodes of a grammar.
//
// Held to: type, properties, required, additionalProperties, items, prefixItems, minItems, maxItems, enum, const,
// anyOf, minLength, maxLength, pattern (regex.h has its syntax), $ref within the schema (also recursive). Members of an
// object are written in the order of `properties`; an object with properties has no others. Annotations (title,
// description ...) say nothing. Whatever else would narrow a value down is refused, so that nobody takes an answer for
// what it is not.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "schema/pattern.h"

namespace dsmoe::schema {

inline constexpr int kMostDepth = 32;  ///< arrays and objects within each other
inline constexpr int kNoHeight = 1 << 20;
inline constexpr int32_t kNothing = -1;

enum class Kind : uint8_t { kLiterals, kString, kNumber, kInteger, kObject, kMap, kArray, kAnyOf };

struct Property {
  std::string key;  ///< as JSON, with its quotes
  int32_t value = kNothing;
  bool required = false;
};

struct Node {
  Kind kind = Kind::kAnyOf;
  std::vector<std::string> literals = {};       ///< whole JSON texts
  int64_t least = 0, most = kUnbounded;         ///< code points of a string, items of an array
  std::vector<Property> properties = {};        ///< of an object, in order
  std::vector<int32_t> children = {};           ///< an array's first items; alternatives, none of which is kAnyOf
  int32_t rest = kNothing;                      ///< an array's further items; a map's values
  int height = kNoHeight;                       ///< arrays and objects within each other that it needs at least
  std::shared_ptr<const Pattern> pattern = {};  ///< of a string, its lengths included, in place of `least` and `most`

  /// The node of an array's item; kNothing where there is none.
  int32_t item(int64_t index) const {
    return index < static_cast<int64_t>(children.size()) ? children[static_cast<size_t>(index)] : rest;
  }
};

struct Grammar {
  std::vector<Node> nodes;
  int32_t root = 0;
  const Node& node(int32_t index) const { return nodes[static_cast<size_t>(index)]; }
};

/// Throws Error(kInvalid) with the place in the schema for what is no schema, what is not held to, what no text can
/// satisfy, and what is too large (10,000 nodes).
Grammar compile(const base::Json& schema);

/// Any object.
Grammar any_object();

}  // namespace dsmoe::schema
