// dsmoe train and dsmoe sft: hand over to dsmoe-train, the half built on LibTorch, the way git finds its subcommands.
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "apps/commands.h"
#include "base/error.h"

namespace dsmoe::apps {
namespace {

std::filesystem::path program_beside(const char* name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) base::fail_io("train", "cannot find this program's own folder", "/proc/self/exe", error.value());
  return self.parent_path() / name;
}

[[noreturn]] void hand_over(const std::string& subcommand, const std::vector<std::string>& arguments) {
  const std::filesystem::path program = program_beside("dsmoe-train");
  if (!std::filesystem::exists(program)) {
    base::fail(base::ErrorKind::kFailure, "train", "the training half was not built", program.string() + " is missing",
               "install LibTorch (tools/setup train) and build again with TRAIN=ON");
  }
  std::vector<std::string> words = {program.string(), subcommand};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  base::fail_io("train", "cannot start", program.string(), errno);
}

void add_handed_over(CLI::App& program, const std::string& name, const std::string& help) {
  CLI::App* command = program.add_subcommand(name, help);
  command->set_help_flag();  // dsmoe-train has the real one
  command->prefix_command();
  command->callback([command, name] { hand_over(name, command->remaining()); });
}

}  // namespace

void add_train_command(CLI::App& program) {
  add_handed_over(program, "train", "Train a model: CONFIG [section.key=value ...] [--resume auto]");
}

void add_sft_command(CLI::App& program) {
  add_handed_over(program, "sft", "Teach a base model to answer: BASE CONVERSATIONS.jsonl ... -o OUT");
}

}  // namespace dsmoe::apps
