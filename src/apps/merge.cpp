// dsmoe merge: a model folder or GGUF file and its adapters as one of the same kind.
#include <cstdio>
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
#include "quantize/merge.h"

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

/// The adapters that are named, and how much of each.
struct Adapters {
  Adapters(const Options& options, const base::ParallelFor& parallel_for) {
    std::vector<loading::AdapterChoice> choices;
    for (const std::string& text : options.adapters) choices.push_back(loading::adapter_choice(text));
    adapters = loading::read_adapters(choices, options.model, parallel_for);
    for (size_t i = 0; i < adapters.size(); ++i) scaled.push_back({&adapters[i], choices[i].scale});
  }
  std::vector<formats::Adapter> adapters;
  std::vector<formats::ScaledAdapter> scaled;
};

void stop_where_asked(const WorkSignals& signals) {
  if (!signals.requested()) return;
  base::fail(base::ErrorKind::kFailure, "merge", "stopped on request", "", "nothing is left behind");
}

std::string matrices_text(int64_t count) {
  return "adapters of " + std::to_string(count) + (count == 1 ? " matrix" : " matrices") + " merged into them";
}

void merge_file(const Options& options) {
  if (!options.dtype.empty()) {
    base::fail(base::ErrorKind::kUsage, "merge", "--dtype is for model folders", options.dtype,
               "what a GGUF file stores keeps its type");
  }
  base::require_output_file(options.output.path, options.output.force, formats::model_files(options.model));
  const formats::GgufModel model = formats::GgufModel::open(options.model);
  base::ThreadPool pool(options.threads);
  const Adapters adapters(options, pool.parallel_for());
  const WorkSignals signals;
  std::optional<Progress> progress;
  const auto tell = [&](uint64_t written, uint64_t total) {
    stop_where_asked(signals);
    if (!progress) progress.emplace("merging", total, bytes_text);
    progress->update(written);
  };
  const quantize::MergeReport report =
      quantize::merge_gguf(model, adapters.scaled, options.output.path, {pool.parallel_for(), tell});
  if (progress) progress->finish();
  char error[32];
  std::snprintf(error, sizeof error, "%.3g %%", 100 * report.error.relative());
  std::cerr << options.output.path << ": " << bytes_text(static_cast<double>(report.file_size)) << ", "
            << matrices_text(report.matrices) << "; relative error of storing these again " << error << "\n";
  if (!options.json) return;
  std::cout << base::dump_json({{"path", options.output.path},
                                {"adapted_matrices", report.matrices},
                                {"relative_error", report.error.relative()},
                                {"rms_error", report.error.rms()},
                                {"file_size", report.file_size}})
            << "\n";
}

void merge_folder(const Options& options) {
  const base::FolderPolicy policy = formats::model_folder_policy(options.output.force);
  base::require_output_folder(options.output.path, policy, formats::model_files(options.model));
  if (!options.no_verify) verify_model(options.model, options.threads);
  const formats::ModelFolder model = formats::ModelFolder::open(options.model);
  base::ThreadPool pool(options.threads);
  const Adapters adapters(options, pool.parallel_for());

  base::FolderOutput folder(options.output.path, policy);
  formats::ModelFolderWriter writer(
      folder.path(), model.config(),
      {.dtype = dtype_of(options, model), .further_keys = model.config_json(), .tokenizer_from = model.path()});
  base::require_free_space(folder.path(), writer.bytes_on_disk(), "merge");
  const WorkSignals signals;
  Progress progress("merging", writer.total_size(), bytes_text);
  formats::merge_adapters(writer, model, adapters.scaled, pool.parallel_for(), [&](uint64_t written) {
    stop_where_asked(signals);
    progress.update(written);
  });
  writer.finish();
  folder.commit();
  progress.finish();
  int64_t modules = 0;
  for (const formats::Adapter& adapter : adapters.adapters) modules += std::ssize(adapter.modules);
  std::cerr << options.output.path << ": " << writer.total_size() << " bytes of tensors, " << matrices_text(modules)
            << "\n";
  if (!options.json) return;
  std::cout << base::dump_json({{"path", options.output.path},
                                {"dtype", formats::name_of(writer.dtype())},
                                {"adapted_matrices", modules},
                                {"total_size", writer.total_size()}})
            << "\n";
}

void act(const Options& options) {
  std::error_code ignored;
  base::fs::is_regular_file(options.model, ignored) ? merge_file(options) : merge_folder(options);
}

}  // namespace

void add_merge(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("merge", "Write a model folder or GGUF file with its adapters in the weights");
  add_model(*command, options->model, "-m,--model",
            "the model folder or GGUF file that the adapters were trained beside")
      ->required();
  command
      ->add_option("--adapter", options->adapters,
                   "a PEFT folder or a run's, or DIR=SCALE for a part of it; may be given again")
      ->allow_extra_args(false)
      ->required();
  add_output(*command, options->output, "-o,--output",
             "the folder to make, which must not be there or be empty; of a GGUF file the file")
      ->required();
  command
      ->add_option("--dtype", options->dtype, "what the weights of a folder are stored as; without it as the model's")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}));
  add_threads(*command, options->threads, "-t,--threads",
              "0: as many as this process may use; the files do not depend on it");
  add_no_verify(*command, options->no_verify);
  command->add_flag("--json", options->json, "one object about the result on standard output");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
