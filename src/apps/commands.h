// Every subcommand of `dsmoe`, one line each, in the groups and the order that --help shows them.
#pragma once

#include "apps/command.h"

namespace dsmoe::apps {

void add_quickstart(CLI::App& program);
void add_generate(CLI::App& program);
void add_chat(CLI::App& program);
void add_bench(CLI::App& program);
void add_serve(CLI::App& program);
void add_logits(CLI::App& program);
void add_eval(CLI::App& program);
void add_study(CLI::App& program);
void add_compare(CLI::App& program);
void add_report(CLI::App& program);
void add_plan(CLI::App& program);
void add_data(CLI::App& program);
void add_init(CLI::App& program);
void add_upcycle(CLI::App& program);
void add_merge(CLI::App& program);
void add_quantize(CLI::App& program);
void add_export(CLI::App& program);
void add_tokenizer(CLI::App& program);
void add_launch(CLI::App& program);
void add_train_command(CLI::App& program);
void add_sft_command(CLI::App& program);
void add_completion(CLI::App& program);
void add_manual(CLI::App& program);
void add_version(CLI::App& program);

// In the order of a model's life. One command to a line, and clang-format kept out, so that two branches adding a
// command seldom meet.
// clang-format off
inline const std::vector<CommandGroup> kCommands = {
    {"Data", {
        add_tokenizer,
        add_data,
    }},
    {"Train", {
        add_quickstart,
        add_plan,
        add_init,
        add_upcycle,
        add_train_command,
        add_launch,
        add_sft_command,
        add_compare,
    }},
    {"Look", {
        add_report,
        add_eval,
        add_study,
        add_logits,
    }},
    {"Run", {
        add_generate,
        add_chat,
        add_serve,
        add_bench,
        add_merge,
        add_quantize,
        add_export,
    }},
    {"About dsmoe", {
        add_completion,
        add_manual,
        add_version,
    }},
};
// clang-format on

}  // namespace dsmoe::apps
