// The studies below `dsmoe study`, a file each.
#pragma once

#include <CLI/CLI.hpp>

namespace dsmoe::apps {

void add_study_routing(CLI::App& group);
/// disable, shared, fewer.
void add_study_ablations(CLI::App& group);

void add_study_diff(CLI::App& group);

}  // namespace dsmoe::apps
