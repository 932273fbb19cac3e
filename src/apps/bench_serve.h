// dsmoe bench serve: a part of dsmoe bench that needs no model, as it times a server that runs.
#pragma once

#include <CLI/CLI.hpp>

namespace dsmoe::apps {

void add_bench_serve(CLI::App& bench);

}  // namespace dsmoe::apps
