// Commands and their options as plain data, read from what the commands gave CLI11: completion and manual are made of
// it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace dsmoe::apps {

struct TableOption {
  std::vector<std::string> names;    ///< with their dashes; of a positional its one name
  std::string value;                 ///< what stands for its value, such as N; empty: a flag
  std::vector<std::string> choices;  ///< the values that it takes, where they are few
  std::string default_value, help;
  bool required = false, repeats = false;
};

struct TableCommand {
  std::vector<std::string> path;  ///< {"eval", "perplexity"}; the program's is empty
  std::string group;              ///< the title under which it is listed
  std::string description, footer;
  std::vector<TableOption> options, positionals;
  std::vector<TableCommand> commands;
};

TableCommand command_table(const CLI::App& program);

/// Each command of the table, the program first, in the order of help.
std::vector<const TableCommand*> all_commands(const TableCommand& program);

/// "eval perplexity", with `between` in place of the space.
std::string path_text(const TableCommand& command, const std::string& between = " ");

}  // namespace dsmoe::apps
