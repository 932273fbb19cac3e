// The shape of a subcommand: a function that hangs itself on the program, options, help and action in one file.
//
// Output conventions of all commands: results and --json go to standard output, everything said to a person goes to
// standard error. Actions throw; `run_program` turns what they throw into one line and an exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

namespace dsmoe::apps {

using AddCommand = void (*)(CLI::App& program);

/// Commands that --help lists under one title.
struct CommandGroup {
  const char* title;
  std::vector<AddCommand> commands;
};

/// Hangs all of them on the program, each under its group's title.
void add_commands(CLI::App& program, const std::vector<CommandGroup>& groups);

/// Parses, runs the chosen command, and returns the exit code (0, or base::ErrorKind, or 2 for a usage error). Without
/// a word behind the program's name its help is printed.
int run_program(CLI::App& program, const std::vector<CommandGroup>& groups, int argc, char** argv);

/// The version line: version, commit, compiler.
std::string version_text();

}  // namespace dsmoe::apps
