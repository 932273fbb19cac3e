// dsmoe-train: the training half's program. People reach it as `dsmoe train`.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "apps/training/training_commands.h"

namespace {

// OpenMP's threads wait for one another by spinning, which on a machine with other work to do costs far more than it
// saves (docs/training.md has figures). libgomp reads its environment before main, so the program starts itself again,
// once; who sets either variable decides for himself.
void wait_without_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) ::execv(self.c_str(), argv);  // returns only if it fails: then it spins
}

}  // namespace

int main(int argc, char** argv) {
  wait_without_spinning(argv);
  CLI::App program("dsmoe-train trains DeepSeekMoE language models", "dsmoe-train");
  return dsmoe::apps::run_program(program, dsmoe::apps::kTrainingCommands, argc, argv);
}
