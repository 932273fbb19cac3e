// dsmoe: everything about DeepSeekMoE models but training them.
#include "apps/commands.h"
#include "apps/process.h"

int main(int argc, char** argv) {
  dsmoe::apps::prepare_process();
  CLI::App program("dsmoe trains, dissects and runs DeepSeekMoE language models", "dsmoe");
  return dsmoe::apps::run_program(program, dsmoe::apps::kCommands, argc, argv);
}
