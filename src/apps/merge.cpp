// dsmoe merge: a model folder and its adapters as one model folder.
#include <iostream>
#include <memory>
#include <optional>

#include "apps/commands.h"
#include "apps/familiar_options.h"
#include "apps/model_option.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/merge_adapters.h"
#include "formats/model_files.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::string model, dtype;
  std::vector<std::string> adapters;
  OutputArguments output;
  int threads = 0;
  bool no_verify = false, json = false;
};

formats::Dtype dtype_of(const Options& options, const formats::ModelFolder& base) {
  if (options.dtype.empty()) return base.dtype();
  return options.dtype == "f32"   ? formats::Dtype::kF32
         : options.dtype == "f16" ? formats::Dtype::kF16
                                  : formats::Dtype::kBf16;
}

void require_folder(const std::string& model) {
  std::error_code ignored;
  if (!base::fs::is_regular_file(model, ignored)) return;
  base::fail(base::ErrorKind::kUsage, "merge", "the model must be a folder", model + " is a file",
             "a GGUF file runs with --adapter as it is; or merge the folder that it was made from and quantise that");
}

void act(const Options& options) {
  require_folder(options.model);
  const base::FolderPolicy policy = formats::model_folder_policy(options.output.force);
  base::require_output_folder(options.output.path, policy, formats::model_files(options.model));
  if (!options.no_verify) verify_model(options.model, options.threads);
  const formats::ModelFolder model = formats::ModelFolder::open(options.model);
  base::ThreadPool pool(options.threads);
  std::vector<loading::AdapterChoice> choices;
  for (const std::string& text : options.adapters) choices.push_back(loading::adapter_choice(text));
  const std::vector<formats::Adapter> adapters = loading::read_adapters(choices, options.model, pool.parallel_for());
  std::vector<formats::ScaledAdapter> scaled;
  for (size_t i = 0; i < adapters.size(); ++i) scaled.push_back({&adapters[i], choices[i].scale});

  base::FolderOutput folder(options.output.path, policy);
  formats::ModelFolderWriter writer(
      folder.path(), model.config(),
      {.dtype = dtype_of(options, model), .further_keys = model.config_json(), .tokenizer_from = model.path()});
  base::require_free_space(folder.path(), writer.bytes_on_disk(), "merge");
  const WorkSignals signals;
  Progress progress("merging", writer.total_size(), bytes_text);
  formats::merge_adapters(writer, model, scaled, pool.parallel_for(), [&](uint64_t written) {
    if (signals.requested()) {
      base::fail(base::ErrorKind::kFailure, "merge", "stopped on request", "", "nothing is left behind");
    }
    progress.update(written);
  });
  writer.finish();
  folder.commit();
  progress.finish();
  size_t modules = 0;
  for (const formats::Adapter& adapter : adapters) modules += adapter.modules.size();
  std::cerr << options.output.path << ": " << writer.total_size() << " bytes of tensors, adapters of " << modules
            << (modules == 1 ? " matrix" : " matrices") << " merged into them\n";
  if (!options.json) return;
  std::cout << base::dump_json({{"path", options.output.path},
                                {"dtype", formats::name_of(writer.dtype())},
                                {"adapted_matrices", modules},
                                {"total_size", writer.total_size()}})
            << "\n";
}

}  // namespace

void add_merge(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("merge", "Write a model folder with its adapters in the weights");
  add_model(*command, options->model, "-m,--model", "the model folder that the adapters were trained beside")
      ->required();
  command
      ->add_option("--adapter", options->adapters,
                   "a PEFT folder or a run's, or DIR=SCALE for a part of it; may be given again")
      ->allow_extra_args(false)
      ->required();
  add_output(*command, options->output, "-o,--output", "the folder to make; it must not be there or be empty")
      ->required();
  command->add_option("--dtype", options->dtype, "what the weights are stored as; without it as the model's")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}));
  add_threads(*command, options->threads, "-t,--threads",
              "0: as many as this process may use; the files do not depend on it");
  add_no_verify(*command, options->no_verify);
  command->add_flag("--json", options->json, "one object about the result on standard output");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
