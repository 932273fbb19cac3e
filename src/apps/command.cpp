#include "apps/command.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>

#include "base/error.h"
#include "base/json.h"

#ifndef DSMOE_VERSION
#define DSMOE_VERSION "unknown"
#define DSMOE_COMMIT "unknown"
#endif

namespace dsmoe::apps {
namespace {

// CLI11's help without its repetitions: "INT:INT in [0 - 1024]=0" becomes "INT=0"; choices in braces stay.
class HelpFormat : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_opts(option);
    const std::string type = option->get_type_name();
    const size_t colon = type.find(':');
    if (colon == std::string::npos || type[colon + 1] == '{') return text;
    const size_t at = text.find(type);
    return at == std::string::npos ? text : text.replace(at, type.size(), type.substr(0, colon));
  }
};

std::vector<std::string> names_of(const std::vector<CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

// A usage error as one line. CLI11's message says what; where a command was expected and another word came, it does not
// say which.
[[noreturn]] void fail_usage(CLI::App& program, const CLI::ParseError& error, int argc, char** argv) {
  CLI::App* command = &program;
  std::string path = program.get_name();
  int next = 1;  // the word after the commands
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    path += " " + command->get_name();
    ++next;
  }
  std::string hint = path + " --help tells more";
  const auto choices = names_of(command->get_subcommands([](CLI::App* choice) { return !choice->get_name().empty(); }));
  if (choices.empty() || next >= argc || argv[next][0] == '-') {
    base::fail(base::ErrorKind::kUsage, "usage", error.what(), "", hint);
  }
  const std::string word = argv[next], near = base::nearest(word, choices);
  if (!near.empty()) hint = "did you mean " + near + "? " + hint;
  base::fail(base::ErrorKind::kUsage, "usage", "unknown command", base::in_quotes(word), hint);
}

// `dsmoe help plan` is `dsmoe plan --help`.
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.push_back("--help");
  }
  return words;
}

}  // namespace

std::string version_text() {
  return std::string(DSMOE_VERSION) + " (commit " + DSMOE_COMMIT + ", compiler " + __VERSION__ + ")";
}

int run_program(CLI::App& program, const std::vector<AddCommand>& commands, int argc, char** argv) {
  program.require_subcommand(1);
  program.set_version_flag("--version", program.get_name() + " " + version_text());
  program.formatter(std::make_shared<HelpFormat>());  // before the commands, which inherit it
  for (const AddCommand add : commands) add(program);
  try {
    std::vector<std::string> words = words_of(argc, argv);
    if (words.empty()) {
      std::cerr << program.help();
      return static_cast<int>(base::ErrorKind::kUsage);
    }
    std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
    try {
      program.parse(std::move(words));
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return program.exit(error);  // help and version
      fail_usage(program, error, argc, argv);
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
