// The option that names a model, the same in every command of both programs.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dsmoe::apps {

/// Adds `names` ("-m,--model") with `help`. The folder of a run becomes its newest checkpoint, and a line on standard
/// error says which.
CLI::Option* add_model(CLI::App& command, std::string& path, const std::string& names, const std::string& help);

}  // namespace dsmoe::apps
