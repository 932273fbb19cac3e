// TOML as Json, apart from json.cpp because toml++ costs two seconds of compile time.
#include <toml++/toml.h>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::base {
namespace {

Json to_json(const toml::node& node, std::string_view where) {
  if (const toml::table* table = node.as_table()) {
    Json out = Json::object();
    for (const auto& [key, value] : *table) out[std::string(key.str())] = to_json(value, where);
    return out;
  }
  if (const toml::array* array = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& value : *array) out.push_back(to_json(value, where));
    return out;
  }
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  fail_invalid(where, "TOML dates and times have no meaning here", "line " + std::to_string(node.source().begin.line));
}

}  // namespace

Json parse_toml(std::string_view text, std::string_view where) {
  try {
    return to_json(toml::parse(text), where);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    fail_invalid(where, "not valid TOML at line " + std::to_string(at.line) + ", column " + std::to_string(at.column),
                 error.description());
  }
}

}  // namespace dsmoe::base
