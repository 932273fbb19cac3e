// Settings as text: TOML, JSON, help, differences.
#include <algorithm>
#include <charconv>

#include "spec/field_value.h"
#include "spec/settings.h"

namespace dsmoe::spec {
namespace {

using base::Json;

/// The shortest digits that read back as the same number, with a point or an exponent so that TOML sees a float.
std::string toml_number(double value) {
  char digits[64];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  std::string text(digits, end);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    char escape[8];
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (byte < 0x20 || byte == 0x7f) {
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_text(const Json& value) {
  if (value.is_string()) return toml_string(value.get<std::string>());
  if (value.is_number_float()) return toml_number(value.get<double>());
  std::string out;
  if (value.is_array()) {
    for (const Json& item : value) out += (out.empty() ? "" : ", ") + toml_text(item);
    return "[" + out + "]";
  }
  if (value.is_object()) {
    for (const auto& [name, item] : value.items()) {
      out += (out.empty() ? " " : ", ") + toml_string(name) + " = " + toml_text(item);
    }
    return out.empty() ? "{}" : "{" + out + " }";
  }
  return base::dump_json(value);
}

std::string origin_of(const Origins& origins, const std::string& key) {
  const auto found = origins.find(key);
  return found == origins.end() ? "default" : found->second;
}

/// An origin may be a path with any bytes; a comment must stay one line.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return base::first_invalid_utf8(text) == std::string::npos ? text : "file (name is not UTF-8)";
}

}  // namespace

std::string to_toml(const RunConfig& config, const Origins* origins) {
  constexpr size_t kCommentColumn = 44;
  std::string out, last_section;
  visit_run_fields(config, [&](const std::string& section, const char* name, const auto& member, const char*) {
    if (section != last_section) out += (out.empty() ? "[" : "\n[") + section + "]\n";
    last_section = section;
    std::string line = std::string(name) + " = " + toml_text(field_to_json(member));
    if (origins != nullptr) {
      line.resize(std::max(kCommentColumn, line.size() + 2), ' ');
      line += "# " + one_line(origin_of(*origins, section + "." + name));
    }
    out += line + "\n";
  });
  return out;
}

Json to_json(const RunConfig& config, const Origins* origins) {
  Json out = Json::object(), from = Json::object();
  visit_run_fields(config, [&](const std::string& section, const char* name, const auto& member, const char*) {
    out[section][name] = field_to_json(member);
    if (origins != nullptr) from[section + "." + name] = one_line(origin_of(*origins, section + "." + name));
  });
  if (origins != nullptr) out["origins"] = from;
  return out;
}

std::vector<SettingInfo> list_settings() {
  std::vector<SettingInfo> all;
  const RunConfig defaults;
  visit_run_fields(defaults, [&](const std::string& section, const char* name, const auto& member, const char* help) {
    all.push_back({section + "." + name, field_type(member), toml_text(field_to_json(member)), help});
  });
  return all;
}

std::string settings_markdown() {
  std::string out = "| key | type | default | what it is |\n| --- | --- | --- | --- |\n";
  for (const SettingInfo& setting : list_settings()) {
    out += "| `" + setting.key + "` | " + setting.type + " | `" + setting.default_text + "` | " + setting.help + " |\n";
  }
  return out;
}

std::vector<std::string> differences(const RunConfig& a, const RunConfig& b) {
  std::vector<Json> values_of_a;
  visit_run_fields(a, [&](const char*, const char*, const auto& member, const char*) {
    values_of_a.push_back(field_to_json(member));
  });
  std::vector<std::string> all;
  size_t next = 0;
  visit_run_fields(b, [&](const std::string& section, const char* name, const auto& member, const char*) {
    const Json& value_of_a = values_of_a[next++];
    const Json value_of_b = field_to_json(member);
    if (value_of_a == value_of_b) return;
    all.push_back(section + "." + name + ": " + toml_text(value_of_a) + " and " + toml_text(value_of_b));
  });
  return all;
}

}  // namespace dsmoe::spec
