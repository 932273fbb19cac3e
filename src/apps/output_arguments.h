// The output options of commands that write: -o and --force, the same words everywhere. The rule is base/output.h's.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dsmoe::apps {

struct OutputArguments {
  std::string path;  ///< empty: none was asked for
  bool force = false;
};

/// Adds `names` ("-o,--output") with `text` as its help, and --force.
inline CLI::Option* add_output(CLI::App& command, OutputArguments& output, const std::string& names,
                               const std::string& text) {
  command.add_flag("--force", output.force, "replace an output that is there already");
  return command.add_option(names, output.path, text);
}

}  // namespace dsmoe::apps
