// dsmoe train and dsmoe sft: hand over to dsmoe-train, the half built on LibTorch, the way git finds its subcommands.
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "apps/commands.h"
#include "apps/sft_arguments.h"
#include "apps/train_arguments.h"
#include "apps/training_program.h"
#include "base/error.h"
#include "base/process.h"

namespace dsmoe::apps {
namespace {

// What was typed, as CLI11 understood it.
std::vector<std::string> words_of(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    const bool is_flag = option->get_items_expected_max() == 0;
    if (!option->get_positional()) words.push_back("--" + option->get_lnames().front());
    if (!is_flag) words.insert(words.end(), option->results().begin(), option->results().end());
  }
  return words;
}

[[noreturn]] void hand_over(const std::string& subcommand, const std::vector<std::string>& arguments) {
  const base::fs::path program = training_program();
  std::vector<std::string> words = {program.string(), subcommand};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  base::fail_io("train", "cannot start", program.string(), errno);
}

}  // namespace

base::fs::path training_program() {
  base::fs::path program = base::program_beside("dsmoe-train");
  if (!base::fs::exists(program)) {
    base::fail(base::ErrorKind::kFailure, "train", "the training half was not built", program.string() + " is missing",
               "install LibTorch (tools/setup train) and build again with TRAIN=ON");
  }
  return program;
}

void add_train_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", "Train a model; docs/training.md tells more");
  const auto arguments = std::make_shared<TrainArguments>();
  arguments->add_to(*command);
  command->callback([command, arguments] {
    require_configuration(arguments->config);
    hand_over("train", words_of(*command));
  });
}

void add_sft_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("sft", "Teach a base model to answer, from conversations; docs/finetuning.md has it all");
  const auto arguments = std::make_shared<SftArguments>();
  arguments->add_to(*command);
  command->callback([command, arguments] { hand_over("sft", words_of(*command)); });
}

}  // namespace dsmoe::apps
