#include "apps/command.h"

#include <cstdio>
#include <iostream>
#include <new>

#include "base/error.h"

#ifndef DSMOE_VERSION
#define DSMOE_VERSION "unknown"
#define DSMOE_COMMIT "unknown"
#endif

namespace dsmoe::apps {

std::string version_text() {
  return std::string(DSMOE_VERSION) + " (commit " + DSMOE_COMMIT + ", compiler " + __VERSION__ + ")";
}

int run_program(CLI::App& program, const std::vector<AddCommand>& commands, int argc, char** argv) {
  program.require_subcommand(1);
  program.set_version_flag("--version", program.get_name() + " " + version_text());
  for (const AddCommand add : commands) add(program);
  try {
    program.parse(argc, argv);
    std::cout.flush();
    if (!std::cout) base::fail(base::ErrorKind::kIo, program.get_name(), "cannot write to standard output");
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // help and version
    program.exit(error, std::cerr, std::cerr);
    return static_cast<int>(base::ErrorKind::kUsage);
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
