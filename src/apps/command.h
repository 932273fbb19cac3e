// The shape of a subcommand: a function that hangs itself on the program, options, help and action in one file.
//
// Output manners, the same everywhere: results and --json go to standard output, everything said to a person goes to
// standard error. Actions throw; `run_program` turns what they throw into one line and an exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

namespace dsmoe::apps {

using AddCommand = void (*)(CLI::App& program);

/// Parses, runs the chosen command, and returns the exit code (0, or base::ErrorKind, or 2 for a usage error).
int run_program(CLI::App& program, const std::vector<AddCommand>& commands, int argc, char** argv);

/// The version line: version, commit, compiler.
std::string version_text();

}  // namespace dsmoe::apps
