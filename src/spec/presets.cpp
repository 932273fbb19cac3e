#include "spec/presets.h"

#include "base/error.h"

namespace dsmoe::spec {

const Preset& find_preset(std::string_view name) {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) {
    if (preset.name == name) return preset;
    names.emplace_back(preset.name);
  }
  std::string near = base::nearest(name, names);
  for (const std::string& each : names) {  // "16b" is short for one
    if (near.empty() && name.size() > 1 && each.ends_with("-" + std::string(name))) near = each;
  }
  base::fail_invalid("preset", "unknown preset", base::in_quotes(name),
                     near.empty() ? "dsmoe plan --list shows all; a file's path ends in .toml or has a slash"
                                  : "did you mean " + near + "?");
}

}  // namespace dsmoe::spec
