// The part of a comparison's page about its studies: what each arm loses without its experts, and its tasks' scores.
#pragma once

#include <string>

#include "compare/summary.h"

namespace dsmoe::compare {

/// Empty where nothing was studied.
std::string studies_html(const Summary& summary);
std::string studies_markdown(const Summary& summary);

}  // namespace dsmoe::compare
