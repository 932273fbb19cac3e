// The part of a comparison's page about its studies: what each arm loses without its experts, and its tasks' scores.
#pragma once

#include <string>

#include "charts/page.h"
#include "compare/summary.h"

namespace dsmoe::compare {

/// Empty where nothing was studied.
void add_studies(const Summary& summary, charts::Page& page);
std::string studies_markdown(const Summary& summary);

}  // namespace dsmoe::compare
