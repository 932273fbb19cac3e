// The output options of commands that write: -o and --force, the same words everywhere. The rule is base/output.h's.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dsmoe::apps {

struct OutputArguments {
  std::string path;  ///< empty: none was asked for
  bool force = false;
};

/// For every option that names an output.
inline CLI::Validator output_name() {
  return CLI::Validator([](std::string& name) { return name.empty() ? "the output needs a name" : ""; }, "");
}

/// Adds `names` ("-o,--output") with `text` as its help, and --force. An empty name is a usage error.
inline CLI::Option* add_output(CLI::App& command, OutputArguments& output, const std::string& names,
                               const std::string& text) {
  command.add_flag("--force", output.force, "replace an output that is there already");
  return command.add_option(names, output.path, text)->check(output_name());
}

}  // namespace dsmoe::apps
