// dsmoe-train: the training half's program. People reach it as `dsmoe train`.
#include "apps/training/training_commands.h"

int main(int argc, char** argv) {
  CLI::App program("dsmoe-train trains DeepSeekMoE language models", "dsmoe-train");
  return dsmoe::apps::run_program(program, dsmoe::apps::kTrainingCommands, argc, argv);
}
