// dsmoe-train train: a run on a corpus.
#include <memory>

#include "apps/familiar_options.h"
#include "apps/training/run_command.h"
#include "apps/training/training_commands.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string init;
  RunArguments run;
};

void run(const TrainArguments& arguments) {
  run_to_the_end({spec::resolve(arguments.config, arguments.overrides), arguments.init,
                  [](spec::ResolvedConfig config, const train::RunOptions& options, train::RunListener& listener) {
                    return train::run_training(std::move(config), options, listener);
                  }},
                 arguments.run);
}

}  // namespace

void add_train(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", "Train a model; docs/training.md tells the whole story");
  const auto arguments = std::make_shared<TrainArguments>();
  command->add_option("config", arguments->config, "a preset, or a .toml or .json file")->required();
  command->add_option(kSettings, arguments->overrides, "section.key=value, later ones win");
  command->add_option("--init", arguments->init, "begin with the weights of this model folder");
  add_run_arguments(*command, arguments->run);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace dsmoe::apps
