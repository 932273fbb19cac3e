// The names that other systems give to what a setting here is called: for suggestions only, never read as settings.
#pragma once

#include <string_view>

namespace dsmoe::spec {

/// "train.learning_rate" for "lr"; capitals and hyphens do not matter. Empty for a name that nobody uses, and for the
/// names of settings themselves.
std::string_view familiar_key(std::string_view name);

}  // namespace dsmoe::spec
