// dsmoe quantize and dsmoe export: a model folder as a GGUF file, with fewer bits or as it is.
#include <chrono>
#include <iostream>

#include "apps/commands.h"
#include "apps/model_option.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/adapter_gguf.h"
#include "formats/model_files.h"
#include "quantize/export.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::string model, adapter, type, arch, name, report;
  OutputArguments output;
  int threads = 0;
  bool pure = false, no_tokenizer = false, json = false, no_verify = false;
};

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", 100 * share);
  return text;
}

void tell(const Options& options, const quantize::ExportReport& report, double seconds) {
  base::Json json = quantize::report_json(report);
  json["path"] = options.output.path;
  json["type"] = std::string(quantize::recipe_named(options.type).name);
  json["seconds"] = seconds;
  if (!options.report.empty()) base::write_file(options.report, base::dump_json(json, 2) + "\n");
  if (options.json) {
    json.erase("tensors");
    json["tensor_count"] = report.tensors.size();
    std::cout << base::dump_json(json) << "\n";
  }
  char bits[32];
  std::snprintf(bits, sizeof bits, "%.2f", report.bits_per_weight);
  std::cerr << options.output.path << ": arch " << formats::gguf_arch_name(report.arch) << ", "
            << bytes_text(static_cast<double>(report.file_size)) << ", " << bits
            << " bits a weight, relative error of the weights " << percent(report.error.relative())
            << (report.has_tokenizer ? "\n" : "; no tokenizer comes with it\n");
}

void require_outputs(const Options& options) {
  const std::vector<base::fs::path> read = formats::model_files(options.model);
  base::require_output_file(options.output.path, options.output.force, read);
  if (options.report.empty()) return;
  base::require_output_file(options.report, options.output.force, read);
  base::require_different_outputs(options.report, options.output.path);
}

// The adapter alone, as llama.cpp's --lora takes it beside the model's own file.
void export_adapter(const Options& options) {
  base::require_output_file(options.output.path, options.output.force, formats::model_files(options.model));
  const spec::ModelConfig config = formats::config_of_model(options.model);
  base::ThreadPool pool(options.threads);
  const loading::AdapterChoice choice = loading::adapter_choice(options.adapter);
  const std::vector<formats::Adapter> adapters = loading::read_adapters({choice}, options.model, pool.parallel_for());
  const formats::AdapterGgufReport report =
      formats::write_adapter_gguf(options.output.path, {adapters.data(), choice.scale}, config);
  if (options.json) {
    std::cout << base::dump_json({{"path", options.output.path},
                                  {"arch", report.arch},
                                  {"adapted_tensors", report.tensors},
                                  {"file_size", report.bytes}})
              << "\n";
  }
  std::cerr << options.output.path << ": an adapter for arch " << report.arch << ", "
            << bytes_text(static_cast<double>(report.bytes)) << "\n";
}

void act(const Options& options) {
  if (!options.adapter.empty()) return export_adapter(options);
  quantize::ExportOptions request;
  request.recipe = quantize::recipe_named(options.type);
  require_outputs(options);
  if (!options.no_verify) verify_model(options.model, options.threads);
  const formats::ModelFolder folder = formats::ModelFolder::open(options.model);
  base::ThreadPool pool(options.threads);
  const WorkSignals signals;
  std::optional<Progress> progress;
  request.pure = options.pure;
  request.arch = options.arch;
  request.with_tokenizer = !options.no_tokenizer;
  request.name = options.name;
  request.parallel_for = pool.parallel_for();
  request.progress = [&](uint64_t written, uint64_t total) {
    if (signals.requested()) {
      base::fail(base::ErrorKind::kFailure, "quantize", "stopped on request", "", "nothing is left behind");
    }
    if (!progress) progress.emplace("writing", total, bytes_text);
    progress->update(written);
  };
  const auto begin = std::chrono::steady_clock::now();
  const quantize::ExportReport report = quantize::export_gguf(folder, options.output.path, request);
  if (progress) progress->finish();
  tell(options, report, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}

void add_common(CLI::App& command, const std::shared_ptr<Options>& options) {
  add_model(command, options->model, "-m,--model",
            "a model folder, as dsmoe train and Hugging Face leave it, or the folder of a run (its newest checkpoint)")
      ->required();
  add_output(command, options->output, "-o,--output", "the GGUF file to make; it appears whole or not at all")
      ->required();
  command
      .add_option(
          "--arch", options->arch,
          "deepseek or llama, which llama.cpp reads, or dsmoe; without it the first of them that can say all of "
          "the model")
      ->check(CLI::IsMember({"deepseek", "llama", "dsmoe"}));
  command.add_option("--name", options->name, "general.name in the file; without it the folder's");
  command.add_flag("--no-tokenizer", options->no_tokenizer, "leave the folder's tokenizer out");
  command.add_option("--report", options->report, "a JSON file with the error of every tensor and every expert");
  add_threads(command, options->threads, "-t,--threads",
              "0: as many as this process may use; the file does not depend on it");
  add_no_verify(command, options->no_verify);
  command.add_flag("--json", options->json, "one object about the result on standard output");
  command.callback([options] { act(*options); });
}

std::string types_text() {
  std::string text = "\nTypes:\n";
  for (const quantize::Recipe& recipe : quantize::recipes()) {
    text +=
        "  " + std::string(recipe.name) + std::string(10 - recipe.name.size(), ' ') + std::string(recipe.what) + "\n";
  }
  return text +
         "  q4_k, q5_k  q4_k_m, q5_k_m\n"
         "The head is Q6_K (in q8_0 Q8_0), norms and routers are F32, and rows that are no multiple of 256 are Q5_0, "
         "Q5_1\nor Q8_0 in place of Q4_K, Q5_K or Q6_K, all as in llama.cpp. Weights that are not finite are an error.";
}

}  // namespace

void add_quantize(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("quantize", "Write a model folder as a GGUF file with fewer bits");
  command->add_option("--type", options->type, "what most matrices become; the list is below")->required();
  command->add_flag("--pure", options->pure, "every matrix of the one type, the head too");
  add_common(*command, options);
  command->footer(types_text());
}

void add_export(CLI::App& program) {
  auto options = std::make_shared<Options>();
  options->type = "bf16";
  CLI::App* command = program.add_subcommand("export", "Write a model folder as a GGUF file");
  command->add_option("--type", options->type, "f32, f16 or bf16; dsmoe quantize has fewer bits")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
  command->add_option(
      "--adapter", options->adapter,
      "write this adapter of the model instead, alone, as llama.cpp's --lora takes it: a PEFT folder or "
      "a run's, or DIR=SCALE");
  add_common(*command, options);
}

}  // namespace dsmoe::apps
