// The command line of `dsmoe sft`, for both programs, as train_arguments.h has that of `dsmoe train`.
#pragma once

#include "apps/train_arguments.h"

namespace dsmoe::apps {

struct SftArguments {
  std::string base, output, recipe = "default", format, long_examples = "cut", faulty = "stop";
  std::vector<std::string> words;  ///< data, and settings among them
  int64_t epochs = 0, batch = 0;   ///< 0: the recipe's
  double valid_share = 0.05;
  bool lora = false;
  int64_t lora_rank = 8;
  double lora_alpha = 16;
  std::string lora_targets = "all";
  std::string esft;       ///< gate or token: train the experts that score by it; empty: all that would be trained
  double esft_share = 0;  ///< 0: the score's own
  RunArguments run;

  void add_to(CLI::App& command);

 private:
  void add_data_options(CLI::App& command);
  CLI::Option* add_lora_options(CLI::App& command);
  void add_expert_options(CLI::App& command, CLI::Option* lora_targets);
};

}  // namespace dsmoe::apps
