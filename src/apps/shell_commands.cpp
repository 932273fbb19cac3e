// dsmoe completion and dsmoe manual: what a shell and man know of the commands, made from their own tables.
#include <iostream>
#include <memory>

#include "apps/command_table.h"
#include "apps/commands.h"
#include "apps/completion.h"
#include "apps/manual.h"
#include "apps/output_arguments.h"
#include "base/error.h"
#include "base/output.h"

namespace dsmoe::apps {
namespace {

void complete(const CLI::App& program, const std::string& shell) {
  const TableCommand table = command_table(program);
  const auto& made = shell == "bash" ? bash_completion : shell == "zsh" ? zsh_completion : fish_completion;
  std::cout << made(program.get_name(), table);
}

std::string version_number() {
  const std::string text = version_text();
  return text.substr(0, text.find(' '));
}

void write_manual(const CLI::App& program, const OutputArguments& output) {
  const TableCommand table = command_table(program);
  const base::fs::path folder = output.path;
  std::error_code fault;
  base::fs::create_directories(folder, fault);
  if (fault) base::fail_io("manual", "cannot make the folder", folder.string(), fault.value());
  const auto file = [&](const TableCommand& command) { return folder / manual_name(program.get_name(), command); };
  for (const TableCommand* command : all_commands(table)) base::require_output_file(file(*command), output.force, {});
  for (const TableCommand* command : all_commands(table)) {
    base::write_file(file(*command), manual_page(program.get_name(), *command, version_number()));
  }
}

void show_manual(const CLI::App& program, const std::vector<std::string>& path) {
  const TableCommand table = command_table(program);
  std::vector<std::string> names;
  for (const TableCommand* command : all_commands(table)) {
    if (command->path == path) {
      std::cout << manual_page(program.get_name(), *command, version_number());
      return;
    }
    names.push_back(path_text(*command));
  }
  std::string typed;
  for (const std::string& word : path) typed += (typed.empty() ? "" : " ") + word;
  const std::string near = base::nearest(typed, names);
  base::fail(base::ErrorKind::kUsage, "manual", "unknown command", base::in_quotes(typed),
             near.empty() ? "dsmoe --help lists them" : "did you mean " + near + "?");
}

}  // namespace

void add_completion(CLI::App& program) {
  CLI::App* command = program.add_subcommand("completion", "A script that lets a shell complete dsmoe's commands");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "the shell that is to read it")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("make install puts all three where the shells look for them.");
  command->callback([&program, shell] { complete(program, *shell); });
}

void add_manual(CLI::App& program) {
  struct Options {
    std::vector<std::string> path;
    OutputArguments output;
  };
  CLI::App* command = program.add_subcommand("manual", "A command's page for man, or all of them");
  const auto options = std::make_shared<Options>();
  CLI::Option* path = command->add_option("COMMAND", options->path, "its words, such as eval perplexity; none: dsmoe");
  add_output(*command, options->output, "-o,--output", "write every page into this folder")->excludes(path);
  command->callback([&program, options] {
    if (!options->output.path.empty()) return write_manual(program, options->output);
    show_manual(program, options->path);
  });
}

}  // namespace dsmoe::apps
