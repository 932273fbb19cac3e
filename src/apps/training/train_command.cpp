// dsmoe-train train: a run on a corpus.
#include <memory>

#include "apps/configuration.h"
#include "apps/train_arguments.h"
#include "apps/training/run_command.h"
#include "apps/training/training_commands.h"
#include "train/vocabulary.h"

namespace dsmoe::apps {
namespace {

// As the run will have it, as far as the data is there to say.
void take_vocabulary_of_data(spec::ResolvedConfig& config, const std::string& init) {
  const base::fs::path data = config.config.data.path;
  std::error_code ignored;
  if (!base::fs::exists(data / "train.idx", ignored)) return;
  train::take_vocabulary(config, corpus::TokenDataset::open(data, "train"), init);
}

// A model folder that is trained further gives its weights too, unless others were named.
std::string init_of(const TrainArguments& arguments) {
  std::error_code ignored;
  const bool is_model = base::fs::exists(base::fs::path(arguments.config) / "config.json", ignored);
  return arguments.init.empty() && is_model ? arguments.config : arguments.init;
}

void run(const TrainArguments& arguments) {
  require_configuration(arguments.config);
  spec::ResolvedConfig config = configuration_of(arguments.config, arguments.overrides);
  const std::string init = init_of(arguments);
  if (arguments.run.print_config) take_vocabulary_of_data(config, init);
  run_to_the_end({std::move(config), init,
                  [](spec::ResolvedConfig config, const train::RunOptions& options, train::RunListener& listener) {
                    return train::run_training(std::move(config), options, listener);
                  }},
                 arguments.run);
}

}  // namespace

void add_train(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", "Train a model; docs/training.md tells more");
  const auto arguments = std::make_shared<TrainArguments>();
  arguments->add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace dsmoe::apps
