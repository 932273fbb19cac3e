// The presets that are built into the program: the files of configs/presets/, one each (cmake/embed_presets.cmake).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::spec {

struct Preset {
  std::string_view name;
  std::string_view toml;
};

/// All of them, in the order of their names.
const std::vector<Preset>& presets();
/// Throws Error(kInvalid) naming the nearest preset.
const Preset& find_preset(std::string_view name);

}  // namespace dsmoe::spec
