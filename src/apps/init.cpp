#include <iostream>

#include "apps/commands.h"
#include "apps/configuration.h"
#include "apps/familiar_options.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/initial_values.h"
#include "formats/model_files.h"
#include "spec/counts.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::string config, dtype = "bf16";
  OutputArguments output;
  std::vector<std::string> overrides;
  uint64_t seed = 0;
  int threads = 0;
  bool json = false;
};

void report(const Options& options, const formats::ModelFolderWriter& model, double seconds) {
  if (options.json) {
    const base::Json json = {{"path", options.output.path},   {"seed", options.seed},
                             {"dtype", options.dtype},        {"total_size", model.total_size()},
                             {"shards", model.shard_count()}, {"seconds", seconds}};
    std::cout << base::dump_json(json) << "\n";
  }
  std::cerr << options.output.path << ": " << model.total_size() << " bytes of tensors in " << model.shard_count()
            << (model.shard_count() == 1 ? " file" : " files")
            << "; no tokenizer comes with it (--tokens takes ids, or copy a tokenizer.json into the folder)\n";
}

void act(const Options& options) {
  const base::FolderPolicy policy = formats::model_folder_policy(options.output.force);
  base::require_output_folder(options.output.path, policy, {options.config, options.config + "/config.json"});
  const spec::ModelConfig config =
      configuration_of(options.config, options.overrides, spec::Validation::kModelOnly).config.model;
  const formats::Dtype dtype = options.dtype == "f32"   ? formats::Dtype::kF32
                               : options.dtype == "f16" ? formats::Dtype::kF16
                                                        : formats::Dtype::kBf16;
  // by formula first: the writer's list of tensors is as long as the model's
  const auto precision = dtype == formats::Dtype::kF32 ? spec::Precision::kF32 : spec::Precision::kBf16;
  base::require_free_space(options.output.path, static_cast<uint64_t>(spec::weight_bytes(config, precision)), "init");
  base::FolderOutput folder(options.output.path, policy);
  formats::ModelFolderWriter model(folder.path(), config,
                                   {.dtype = dtype, .further_keys = token_id_lists(options.config)});
  base::require_free_space(folder.path(), model.bytes_on_disk(), "init");

  base::ThreadPool pool(options.threads);
  const WorkSignals signals;
  Progress progress("writing", model.total_size(), bytes_text);
  formats::write_initial_model(model, config, options.seed, pool.parallel_for(), [&](uint64_t written) {
    if (signals.requested()) {
      base::fail(base::ErrorKind::kFailure, "init", "stopped on request", "", "nothing is left behind");
    }
    progress.update(written);
  });
  model.finish();
  folder.commit();
  progress.finish();
  report(options, model, progress.seconds());
}

}  // namespace

void add_init(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("init", "Write a randomly initialised model folder of any size");
  command
      ->add_option("CONFIG", options->config, "a preset, a configuration file, or a model folder to take the shape of")
      ->required();
  command->add_option(kSettings, options->overrides, "model.key=value, over what CONFIG says");
  add_output(*command, options->output, "-o,--output", "the folder to make; it must not be there or be empty")
      ->required();
  add_whole_number(*command, "-s,--seed", options->seed, "the same seed gives the same bytes, whatever the threads");
  command->add_option("--dtype", options->dtype, "what the weights are stored as")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}))
      ->capture_default_str();
  add_threads(*command, options->threads);
  command->add_flag("--json", options->json, "one object about the result on standard output");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
