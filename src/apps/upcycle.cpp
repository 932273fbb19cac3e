// dsmoe upcycle: a dense model folder becomes a mixture that computes the same at first.
#include <iostream>

#include "apps/commands.h"
#include "apps/configuration.h"
#include "apps/model_option.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/model_files.h"
#include "formats/upcycled_model.h"
#include "formats/verified.h"
#include "spec/counts.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::string dense, dtype;  // dtype empty: the dense model's
  formats::Upcycling upcycling;
  OutputArguments output;
  uint64_t seed = 0;
  bool json = false, no_verify = false;
};

formats::Dtype dtype_of(const Options& options, const formats::ModelFolder& dense) {
  if (options.dtype.empty()) return dense.dtype();
  return options.dtype == "f32"   ? formats::Dtype::kF32
         : options.dtype == "f16" ? formats::Dtype::kF16
                                  : formats::Dtype::kBf16;
}

void report(const Options& options, const spec::ModelConfig& config, double seconds) {
  const int64_t total = spec::count_parameters(config).total(), activated = spec::count_activated(config).total();
  if (options.json) {
    const base::Json json = {{"path", options.output.path},
                             {"seed", options.seed},
                             {"n_routed_experts", config.n_routed_experts},
                             {"n_shared_experts", config.n_shared_experts},
                             {"num_experts_per_tok", config.num_experts_per_tok},
                             {"moe_intermediate_size", config.moe_intermediate_size},
                             {"parameters", total},
                             {"activated_parameters", activated},
                             {"seconds", seconds}};
    std::cout << base::dump_json(json) << "\n";
  }
  std::cerr << options.output.path << ": " << config.n_shared_experts << " shared and " << config.n_routed_experts
            << " routed experts of width " << config.moe_intermediate_size << ", " << config.num_experts_per_tok
            << " of the routed ones a token; " << total << " parameters, " << activated << " activated\n"
            << "train it: dsmoe train " << options.output.path << " data.path=SHARDS output.dir=RUN train.steps=N\n";
}

void act(const Options& options) {
  const base::FolderPolicy policy = formats::model_folder_policy(options.output.force);
  base::require_output_folder(options.output.path, policy, formats::model_files(options.dense));
  const formats::ModelFolder dense = formats::ModelFolder::open(options.dense);
  const spec::ModelConfig config = formats::upcycled_config(dense.config(), options.upcycling);
  if (!options.no_verify) formats::verify_once(options.dense, {});
  base::FolderOutput folder(options.output.path, policy);
  formats::ModelFolderWriter model(folder.path(), config,
                                   {.dtype = dtype_of(options, dense),
                                    .further_keys = token_id_lists(options.dense),
                                    .tokenizer_from = options.dense});
  base::require_free_space(folder.path(), model.bytes_on_disk(), "upcycle");
  const WorkSignals signals;
  Progress progress("writing", model.total_size(), bytes_text);
  formats::write_upcycled_model(model, dense, config, options.seed, [&](uint64_t written) {
    if (signals.requested()) {
      base::fail(base::ErrorKind::kFailure, "upcycle", "stopped on request", "", "nothing is left behind");
    }
    progress.update(written);
  });
  model.finish();
  folder.commit();
  progress.finish();
  report(options, config, progress.seconds());
}

}  // namespace

void add_upcycle(CLI::App& program) {
  auto options = std::make_shared<Options>();
  formats::Upcycling& cut = options->upcycling;
  CLI::App* command =
      program.add_subcommand("upcycle", "Make a mixture of a dense model that computes the same before it is trained");
  add_model(*command, options->dense, "DENSE", "a dense model folder, or a run's newest checkpoint")->required();
  add_output(*command, options->output, "-o,--output", "the folder to make; it must not be there or be empty")
      ->required();
  add_whole_number(*command, "--slices", cut.slices,
                   "experts that every FFN is cut into; it divides intermediate_size");
  add_whole_number(*command, "--shared", cut.shared, "slices that every token visits");
  add_whole_number(*command, "--copies", cut.copies, "of each other slice, among the routed experts");
  add_whole_number(*command, "--copies-per-token", cut.copies_per_token,
                   "copies a token visits; 1: as many multiplications as the dense model");
  add_whole_number(*command, "--first-dense", cut.first_dense, "leading layers that keep their dense FFN");
  add_whole_number(*command, "-s,--seed", options->seed, "of the routers; the same seed gives the same bytes");
  command->add_option("--dtype", options->dtype, "what the weights are stored as; the dense model's unless given")
      ->check(CLI::IsMember({"bf16", "f32", "f16"}));
  command->add_flag("--no-verify", options->no_verify, "do not compare the dense model with its checksums first");
  command->add_flag("--json", options->json, "one object about the result on standard output");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
