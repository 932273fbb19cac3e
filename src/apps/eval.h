// The measurements below `dsmoe eval`, a file each.
#pragma once

#include <CLI/CLI.hpp>

namespace dsmoe::apps {

void add_eval_perplexity(CLI::App& group);
void add_eval_choice(CLI::App& group);
void add_eval_generate(CLI::App& group);

}  // namespace dsmoe::apps
