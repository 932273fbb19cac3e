#include "apps/command.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>

#include "apps/command_line.h"
#include "apps/help_format.h"
#include "base/error.h"
#include "base/json.h"

#ifndef DSMOE_VERSION
#define DSMOE_VERSION "unknown"
#define DSMOE_COMMIT "unknown"
#endif

namespace dsmoe::apps {
namespace {

// A usage error as one line: CLI11's message says what.
[[noreturn]] void fail_usage(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App* command = &program;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  base::fail(base::ErrorKind::kUsage, "usage", error.what(), "", help_hint(command));
}

}  // namespace

std::string version_text() {
  return std::string(DSMOE_VERSION) + " (commit " + DSMOE_COMMIT + ", compiler " + __VERSION__ + ")";
}

void add_commands(CLI::App& program, const std::vector<CommandGroup>& groups) {
  for (const CommandGroup& group : groups) {
    for (const AddCommand add : group.commands) {
      add(program);
      program.get_subcommands({}).back()->group(group.title);
    }
  }
}

int run_program(CLI::App& program, const std::vector<CommandGroup>& groups, int argc, char** argv) {
  program.formatter(std::make_shared<HelpFormat>());  // before the commands, which take it over
  program.require_subcommand(1);
  program.set_version_flag("--version", program.get_name() + " " + version_text());
  add_commands(program, groups);
  try {
    const std::vector<std::string> typed = argc < 2 ? std::vector<std::string>{"--help"}  //
                                                    : std::vector<std::string>{argv + 1, argv + argc};
    std::vector<std::string> words = read_words(program, typed);
    std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
    try {
      program.parse(std::move(words));
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() != 0) fail_usage(program, error);
      program.exit(error);  // prints help or the version
    } catch (const std::filesystem::filesystem_error& error) {
      base::fail_io("file", "cannot be used", error.path1().string(), error.code().value());
    } catch (const base::Json::exception& error) {
      base::fail_invalid("json", "a value is not of the kind that belongs there", error.what());
    }
    std::cout.flush();
    if (!std::cout) base::fail(base::ErrorKind::kIo, program.get_name(), "cannot write to standard output");
    return 0;
  } catch (const base::Error& error) {
    const bool stopped = error.kind() == base::ErrorKind::kStopped;  // what was asked for, not a fault
    std::cerr << (stopped ? "" : "error: ") << error.what() << "\n";
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    std::cerr << "error: [memory] not enough memory for this\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "error: [internal] " << error.what() << "; this is a fault of dsmoe, please report it\n";
    return 1;
  }
}

}  // namespace dsmoe::apps
