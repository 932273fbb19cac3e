// The argument that names a model's shape: a preset, a configuration file, or a model folder.
#pragma once

#include <string>
#include <vector>

#include "spec/settings.h"

namespace dsmoe::apps {

/// As spec::resolve; a folder with a config.json gives [model], and its longest sequence is the one trained on.
spec::ResolvedConfig configuration_of(const std::string& name, const std::vector<std::string>& overrides,
                                      spec::Validation validation = spec::Validation::kEverything);

/// bos_token_id and eos_token_id of a model folder of this name where they are lists, of which a configuration knows
/// the first alone; an empty object otherwise.
base::Json token_id_lists(const std::string& name);

}  // namespace dsmoe::apps
