// A field's value from and to Json, by the field's C++ type: the one place that says which types settings may have.
// Internal to the room.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "spec/enum_names.h"

namespace dsmoe::spec {

/// The value as a file would spell it, for an error. Json has no word for nan and infinity, and they are what this is
/// often about.
inline std::string found_text(const base::Json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    return std::isnan(value.get<double>()) ? "nan" : value.get<double>() > 0 ? "inf" : "-inf";
  }
  return value.is_string() ? base::in_quotes(value.get<std::string>()) : base::dump_json(value).substr(0, 80);
}

/// Reads values of one key; `where` and `key` go into the errors.
struct FieldReader {
  std::string_view where;
  std::string key;

  [[noreturn]] void refuse(const std::string& wanted, const base::Json& value, std::string_view hint = {}) const {
    base::fail_invalid(where, key + " must be " + wanted, found_text(value), hint);
  }

  void read(const base::Json& value, int64_t& out) const {
    const bool whole = value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>();
    if (whole) refuse("an integer", value, "write it without a point or an exponent");
    if (!value.is_number_integer()) refuse("an integer", value);
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      refuse("an integer below 2^63", value);
    }
    out = value.get<int64_t>();
  }
  void read(const base::Json& value, double& out) const {
    if (!value.is_number()) refuse("a number", value);
    if (!std::isfinite(value.get<double>())) refuse("a finite number", value);
    out = value.get<double>();
  }
  void read(const base::Json& value, bool& out) const {
    if (!value.is_boolean()) refuse("true or false", value);
    out = value.get<bool>();
  }
  void read(const base::Json& value, std::string& out) const {
    if (!value.is_string()) refuse("a text in quotes", value);
    const auto& text = value.get_ref<const std::string&>();
    if (base::first_invalid_utf8(text) != std::string::npos) refuse("valid UTF-8", value);
    if (text.find('\0') != std::string::npos) refuse("a text without zero bytes", value);
    out = text;
  }
  void read(const base::Json& value, std::vector<double>& out) const {
    if (!value.is_array()) refuse("a list of numbers", value);
    std::vector<double> all;
    for (const base::Json& item : value) read(item, all.emplace_back());
    out = std::move(all);
  }
  void read(const base::Json& value, std::map<std::string, double>& out) const {
    if (!value.is_object()) refuse("a table of numbers", value);
    std::map<std::string, double> all;
    for (const auto& [name, item] : value.items()) {
      FieldReader{where, key + "." + base::in_quotes(name)}.read(item, all[name]);
    }
    out = std::move(all);
  }
  template <class Enum>
  std::enable_if_t<std::is_enum_v<Enum>> read(const base::Json& value, Enum& out) const {
    if (!value.is_string()) refuse("one of " + enum_choices<Enum>(), value);
    out = parse_enum<Enum>(value.get_ref<const std::string&>(), key, where);
  }
};

template <class Field>
base::Json field_to_json(const Field& field) {
  if constexpr (std::is_enum_v<Field>) {
    return enum_text(field);
  } else if constexpr (std::is_same_v<Field, std::map<std::string, double>>) {
    base::Json table = base::Json::object();
    for (const auto& [name, value] : field) table[name] = value;
    return table;
  } else {
    return field;
  }
}

/// For help: what may be written.
template <class Field>
std::string field_type(const Field&) {
  if constexpr (std::is_enum_v<Field>) return enum_choices<Field>();
  if constexpr (std::is_same_v<Field, int64_t>) return "integer";
  if constexpr (std::is_same_v<Field, double>) return "number";
  if constexpr (std::is_same_v<Field, bool>) return "true or false";
  if constexpr (std::is_same_v<Field, std::string>) return "text";
  if constexpr (std::is_same_v<Field, std::vector<double>>) return "list of numbers";
  if constexpr (std::is_same_v<Field, std::map<std::string, double>>) return "table of numbers";
}

/// On the command line these are written bare; everything else as TOML spells it.
template <class Field>
constexpr bool kIsText = std::is_enum_v<Field> || std::is_same_v<Field, std::string>;

}  // namespace dsmoe::spec
