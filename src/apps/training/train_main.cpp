// dsmoe-train: the training half's program. People reach it as `dsmoe train`.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "apps/process.h"
#include "apps/training/training_commands.h"
#include "train/tensor_memory.h"

namespace {

// OpenMP's threads wait for one another by spinning without end, which stops a run dead when another process wants a
// core; not spinning at all costs a third of the speed on an idle machine, because a step
// is many short parallel regions. A short spin is good at both. libgomp reads its environment before main, so the
// program starts itself again, once; who sets either variable decides for himself.
void spin_briefly(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  ::setenv("GOMP_SPINCOUNT", "10000", 1);
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) ::execv(self.c_str(), argv);  // returns only if it fails: then it spins
}

}  // namespace

int main(int argc, char** argv) {
  dsmoe::apps::prepare_process();
  spin_briefly(argv);
  dsmoe::train::keep_tensor_memory();
  CLI::App program("dsmoe-train trains DeepSeekMoE language models", "dsmoe-train");
  return dsmoe::apps::run_program(program, dsmoe::apps::kTrainingCommands, argc, argv);
}
