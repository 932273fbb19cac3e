#include "spec/presets.h"

#include "base/error.h"

namespace dsmoe::spec {

const Preset& find_preset(std::string_view name) {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) {
    if (preset.name == name) return preset;
    names.emplace_back(preset.name);
  }
  const std::string near = base::nearest(name, names);
  base::fail_invalid("preset", "unknown preset", base::in_quotes(name),
                     near.empty() ? "dsmoe plan --list shows all; a file's path ends in .toml or has a slash"
                                  : "did you mean " + near + "?");
}

}  // namespace dsmoe::spec
