#include <iostream>

#include "apps/commands.h"

namespace dsmoe::apps {

void add_version(CLI::App& program) {
  CLI::App* command = program.add_subcommand("version", "Print version, commit and compiler");
  command->callback([] { std::cout << "dsmoe " << version_text() << "\n"; });
}

}  // namespace dsmoe::apps
