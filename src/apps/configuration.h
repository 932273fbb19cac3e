// The argument that names a model's shape: a preset, a configuration file, or a model folder.
#pragma once

#include <string>
#include <vector>

#include "spec/settings.h"

namespace dsmoe::apps {

/// As spec::resolve; a folder with a config.json gives [model], and its longest sequence is the one trained on.
spec::ResolvedConfig configuration_of(const std::string& name, const std::vector<std::string>& overrides);

}  // namespace dsmoe::apps
