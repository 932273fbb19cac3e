#include "apps/train_arguments.h"

#include "apps/familiar_options.h"
#include "apps/model_option.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/file.h"
#include "spec/presets.h"

namespace dsmoe::apps {

void add_run_arguments(CLI::App& command, RunArguments& arguments) {
  command
      .add_option(
          "--resume", arguments.resume,
          "auto: from the newest undamaged checkpoint of the output folder, or begin; PATH: from that one; never")
      ->capture_default_str();
  command.add_flag("--no-verify", arguments.no_verify,
                   "do not compare the first weights' folder with the checksums of its manifest.json, if it has one");
  add_threads(command, arguments.threads);
  command.add_flag("--no-memory-check", arguments.no_memory_check, "begin a run that will not fit into memory too");
  command.add_flag("--print-config", arguments.print_config, "print the resolved configuration and leave");
  command.add_flag("--quiet", arguments.quiet, "no progress; alarms and notices only");
  command.add_flag("--json", arguments.json, "print one object at the end: how it ended, step, checkpoint");
  command.footer(
      "Exit codes: 0 done, 3 bad configuration or data, 4 input/output (a full disk), 5 no usable checkpoint, 6 loss "
      "or gradient not finite, 7 another rank failed, 75 stopped by SIGINT, SIGTERM, SIGHUP or SIGUSR1 after saving (a "
      "second one leaves).");
}

void TrainArguments::add_to(CLI::App& command) {
  command
      .add_option("CONFIG", config,
                  "a preset (dsmoe plan --list), a .toml or .json file, or a model folder: its shape and its weights")
      ->required();
  command.add_option(kSettings, overrides, "section.key=value, later ones win; dsmoe plan --settings lists them");
  add_model(command, init, "--init", "begin with the weights of this model folder, or of a run's newest checkpoint");
  add_run_arguments(command, run);
}

void require_configuration(const std::string& given) {
  const base::fs::path path(given);
  for (const spec::Preset& preset : spec::presets()) {
    if (preset.name == given) return;
  }
  const auto there = [](const base::fs::path& file) {
    std::error_code ignored;
    return base::fs::exists(file, ignored);
  };
  const auto refuse = [&](const std::string& what, const std::string& instead) {
    base::fail(base::ErrorKind::kUsage, "train",
               "the first argument is a preset, a .toml or .json file, or a model folder", given + ", " + what,
               instead);
  };
  if (!there(path) || path.extension() == ".toml" || path.extension() == ".json") return;
  if (there(path / "train.idx")) refuse("a corpus", "name a preset before it: dsmoe train PRESET data.path=" + given);
  if (there(path / "config.json")) return;
  if (there(path / "run.toml")) {
    refuse("a run's folder", "dsmoe train " + (path / "run.toml").string() + " --resume auto goes on with it");
  }
  refuse(there(path / "") ? "a folder" : "a file",
         "dsmoe quickstart " + given + " trains on the text in it; dsmoe data build makes a corpus for data.path");
}

}  // namespace dsmoe::apps
