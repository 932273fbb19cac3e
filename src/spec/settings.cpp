#include "spec/settings.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "spec/familiar_keys.h"
#include "spec/field_value.h"
#include "spec/presets.h"

namespace dsmoe::spec {
namespace {

namespace fs = std::filesystem;
using base::fail_invalid;
using base::in_quotes;
using base::Json;

constexpr int kLongestChain = 8;
constexpr uint64_t kLongestFile = 1 << 20;

struct Key {
  std::string section, name;
  std::string text() const { return section + "." + name; }
};

std::vector<Key> all_keys() {
  std::vector<Key> keys;
  const RunConfig config;
  visit_run_fields(config, [&](const char* section, const char* name, const auto&, const char*) {
    keys.push_back({section, name});
  });
  return keys;
}

[[noreturn]] void unknown_key(const std::string& section, const std::string& name, std::string_view where) {
  const std::string near = suggested_key(section, name);
  const std::string found = section.empty() ? name : section + "." + name;
  fail_invalid(where, "unknown key", in_quotes(found), near.empty() ? "" : "did you mean " + near + "?");
}

bool is_section(const std::string& name) {
  for (const Key& key : all_keys()) {
    if (key.section == name) return true;
  }
  return false;
}

/// `key` is what was wanted of it, empty where a whole section was given.
[[noreturn]] void unknown_section(const std::string& name, const std::string& key, std::string_view where) {
  std::vector<std::string> sections;
  for (const Key& known : all_keys()) sections.push_back(known.section);
  std::string near = base::nearest(name, sections);
  if (near.empty() && !key.empty()) near = suggested_key("", key);
  fail_invalid(where, "unknown section", in_quotes(name), near.empty() ? "" : "did you mean " + near + "?");
}

class Layers {
 public:
  ResolvedConfig take() && { return std::move(resolved_); }

  void load(const std::string& preset_or_file, const fs::path& beside) {
    if (is_path(preset_or_file)) {
      const fs::path path = fs::path(preset_or_file).is_absolute() ? fs::path(preset_or_file) : beside / preset_or_file;
      const std::string text = base::read_file(path, kLongestFile);
      const bool json = path.extension() == ".json";
      add_document(json ? base::parse_json(text, path.string()) : base::parse_toml(text, path.string()), path.string(),
                   "file " + path.string(), path.parent_path());
    } else {
      const Preset& preset = find_preset(preset_or_file);
      const std::string where = "preset " + std::string(preset.name);
      add_document(base::parse_toml(preset.toml, where), where, where, beside);
    }
  }

  void add_document(const Json& document, const std::string& where, const std::string& origin, const fs::path& beside) {
    if (!document.is_object()) fail_invalid(where, "a configuration must be an object", found_text(document));
    if (++chain_ > kLongestChain) fail_invalid(where, "extends goes in a circle, or through more than 8 files");
    std::string base;
    if (document.contains("extends")) {
      FieldReader{where, "extends"}.read(document["extends"], base);
      load(base, beside);
    }
    resolved_.description.clear();
    if (document.contains("description")) {
      FieldReader{where, "description"}.read(document["description"], resolved_.description);
    }
    for (const auto& [section, values] : document.items()) {
      if (section == "extends" || section == "description" || section == "origins") continue;
      if (!is_section(section) && !values.is_object()) unknown_key("", section, where);
      if (!is_section(section)) unknown_section(section, values.empty() ? "" : values.begin().key(), where);
      if (!values.is_object()) fail_invalid(where, section + " must be a section", found_text(values));
      for (const auto& [name, value] : values.items()) set({section, name}, value, where, origin);
    }
  }

  /// section.key=value, or section.key.entry=value for a table.
  void add_override(const std::string& text) {
    constexpr const char* kWhere = "command line";
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      fail_invalid(kWhere, "an override must be section.key=value", in_quotes(text));
    }
    const std::string path = text.substr(0, equals), value = text.substr(equals + 1);
    const size_t dot = path.find('.');
    if (dot == std::string::npos) unknown_key("", path, kWhere);
    Key key{path.substr(0, dot), path.substr(dot + 1)};
    if (!is_section(key.section)) unknown_section(key.section, key.name, kWhere);
    const size_t entry = key.name.find('.');
    if (entry == std::string::npos) return set(key, parse_value(key, value), kWhere, kWhere);
    const std::string entry_name = key.name.substr(entry + 1);
    key.name.resize(entry);
    Json table = current(key);
    if (!table.is_object()) unknown_key(key.section, key.name + "." + entry_name, kWhere);
    table[entry_name] = toml_value(value);
    set(key, table, kWhere, kWhere);
  }

 private:
  static bool is_path(const std::string& name) {
    const fs::path path(name);
    return name.find('/') != std::string::npos || path.extension() == ".toml" || path.extension() == ".json";
  }

  void set(const Key& key, const Json& value, std::string_view where, const std::string& origin) {
    bool found = false;
    visit_run_fields(resolved_.config, [&](const char* section, const char* name, auto& member, const char*) {
      if (key.section != section || key.name != name) return;
      FieldReader{where, key.text()}.read(value, member);
      found = true;
    });
    if (!found) unknown_key(key.section, key.name, where);
    resolved_.origins[key.text()] = origin;
    if (key.text() == "train.steps") leave_minutes(origin);
  }

  // Minutes fix the number of steps, so a layer that names the steps itself takes back the minutes of a layer below.
  void leave_minutes(const std::string& origin) {
    const auto minutes = resolved_.origins.find("train.minutes");
    if (minutes == resolved_.origins.end() || minutes->second == origin) return;
    resolved_.config.train.minutes = 0;
    minutes->second = origin;
  }

  Json current(const Key& key) const {
    Json value;
    visit_run_fields(resolved_.config, [&](const char* section, const char* name, const auto& member, const char*) {
      if (key.section == section && key.name == name) value = field_to_json(member);
    });
    return value;
  }

  /// A text is taken as it stands; everything else is one TOML value.
  Json parse_value(const Key& key, const std::string& text) const {
    bool bare = false;
    visit_run_fields(resolved_.config, [&](const char* section, const char* name, const auto& member, const char*) {
      if (key.section == section && key.name == name) bare = kIsText<std::decay_t<decltype(member)>>;
    });
    return bare ? Json(text) : toml_value(text);
  }

  /// What is no TOML value comes back as text, so that the field says what it wanted instead.
  static Json toml_value(const std::string& text) {
    if (text.find_first_of("\r\n#") != std::string::npos) return text;
    try {
      const Json document = base::parse_toml("value = " + text, "command line");
      return document.size() == 1 && document.contains("value") ? document["value"] : Json(text);
    } catch (const base::Error&) {
      return text;
    }
  }

  ResolvedConfig resolved_;
  int chain_ = 0;
};

ResolvedConfig finish(Layers&& layers, const std::vector<std::string>& overrides, Validation validation) {
  for (const std::string& text : overrides) layers.add_override(text);
  ResolvedConfig resolved = std::move(layers).take();
  if (validation == Validation::kEverything) {
    validate(resolved.config);
  } else {
    validate(resolved.config.model);
  }
  return resolved;
}

}  // namespace

std::string suggested_key(const std::string& section, const std::string& name) {
  if (const std::string_view key = familiar_key(name); !key.empty()) return std::string(key);
  std::vector<std::string> here, names, whole;
  for (const Key& key : all_keys()) {
    if (key.section == section) here.push_back(key.name);
    names.push_back(key.name);
    whole.push_back(key.text());
  }
  if (section.empty()) {  // at the top level of a file stand two more
    for (const char* top : {"extends", "description"}) {
      names.emplace_back(top);
      whole.emplace_back(top);
    }
  }
  const std::string near_here = base::nearest(name, here);
  if (!near_here.empty()) return section + "." + near_here;
  const std::string near_name = base::nearest(name, names);
  for (size_t i = 0; i < names.size() && !near_name.empty(); ++i) {
    if (names[i] == near_name) return whole[i];
  }
  return base::nearest(section + "." + name, whole);
}

ResolvedConfig resolve(const std::string& preset_or_file, const std::vector<std::string>& overrides,
                       Validation validation) {
  Layers layers;
  layers.load(preset_or_file, "");
  return finish(std::move(layers), overrides, validation);
}

ResolvedConfig resolve_document(const Json& document, const std::string& where,
                                const std::vector<std::string>& overrides, Validation validation) {
  Layers layers;
  layers.add_document(document, where, "file " + where, "");
  return finish(std::move(layers), overrides, validation);
}

ResolvedConfig resolve_toml(std::string_view text, const std::string& where,
                            const std::vector<std::string>& overrides) {
  return resolve_document(base::parse_toml(text, where), where, overrides);
}

}  // namespace dsmoe::spec
