#include "apps/sft_arguments.h"

#include "apps/model_option.h"
#include "apps/real_number.h"
#include "apps/whole_number.h"

namespace dsmoe::apps {

void SftArguments::add_to(CLI::App& command) {
  add_model(command, base, "base",
            "the model to begin with: a folder, a run's (its newest checkpoint), or with --lora a GGUF file")
      ->required();
  command.add_option("data", words,
                     "conversations: files, folders or patterns of .jsonl, plain, .gz or .zst; section.key=value "
                     "among them sets the run's configuration");
  command.add_option("-o,--output", output, "folder for checkpoints and records");
  command.add_option("--recipe", recipe, "default, or paper: DeepSeekMoE's, of constant rate 1e-5")
      ->check(CLI::IsMember({"default", "paper"}))
      ->capture_default_str();
  add_whole_number(command, "--epochs", epochs, "passes over all examples; 0: the recipe's");
  add_whole_number(command, "--batch", batch, "examples a step; 0: the recipe's");
  add_data_options(command);
  add_expert_options(command, add_lora_options(command));
  add_run_arguments(command, run);
}

void SftArguments::add_data_options(CLI::App& command) {
  add_real_number(command, "--valid-share", valid_share, "part of the examples held out, by question, at most 0.9")
      ->check(CLI::Range(0.0, 0.9).description(""));
  command.add_option("--long", long_examples, "an example of more than train.sequence_length tokens: cut or skip")
      ->check(CLI::IsMember({"cut", "skip"}))
      ->capture_default_str();
  command.add_option("--faulty", faulty, "a line that is no proper example: stop, or skip and count it")
      ->check(CLI::IsMember({"stop", "skip"}))
      ->capture_default_str();
  command.add_option("--chat-format", format, "in place of the model's own; chat and serve then take it by themselves");
}

CLI::Option* SftArguments::add_lora_options(CLI::App& command) {
  CLI::Option* const asked =
      command.add_flag("--lora", lora,
                       "train adapters beside the base and leave it as it is; a checkpoint is then a PEFT folder, "
                       "which chat and generate take as --adapter");
  add_whole_number(command, "--lora-rank", lora_rank, "rank of each adapter", {1, 1 << 16})->needs(asked);
  add_real_number(command, "--lora-alpha", lora_alpha, "adapters are scaled by alpha / rank")->needs(asked);
  return command
      .add_option("--lora-targets", lora_targets,
                  "where adapters are, with commas between: attention, dense, shared, experts, all, or parts of names "
                  "such as q_proj, mlp.experts.5 and layers.2.mlp.experts.5")
      ->capture_default_str()
      ->needs(asked);
}

void SftArguments::add_expert_options(CLI::App& command, CLI::Option* lora_targets) {
  CLI::Option* const asked =
      command
          .add_option(
              "--esft", esft,
              "train those routed experts alone that the examples use most, layer by layer: by gate (their mean "
              "gate value) or token (the share of tokens that choose them); with --lora, adapters beside them")
          ->check(CLI::IsMember({"gate", "token"}))
          ->excludes(lora_targets);
  add_real_number(command, "--esft-share", esft_share,
                  "the share of a layer's scores that its chosen experts have, at most 1; 0: 0.1 by gate, 0.2 by token")
      ->check(CLI::Range(0.0, 1.0).description(""))
      ->needs(asked);
}

}  // namespace dsmoe::apps
