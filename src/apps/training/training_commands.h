// Every subcommand of `dsmoe-train`, one line each.
#pragma once

#include "apps/command.h"

namespace dsmoe::apps {

void add_bench(CLI::App& program);
void add_sft(CLI::App& program);
void add_train(CLI::App& program);

inline const std::vector<CommandGroup> kTrainingCommands = {
    {"Commands", {add_train, add_sft, add_bench}},
};

}  // namespace dsmoe::apps
