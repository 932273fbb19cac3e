// dsmoe study routing: which experts read a corpus, or one text, or a corpus at every checkpoint of a run.
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "apps/command.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/study.h"
#include "apps/text_input.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/model_files.h"
#include "study/routing_saturation.h"
#include "study/routing_study.h"
#include "study/routing_text.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string data, split = "valid", prompt, file, run;
  OutputArguments output;
  study::RoutingStudyOptions walk;
  int64_t experts_of = -1;  // a layer
  bool json = false;

  bool reads_corpus() const { return !data.empty(); }
  // The one file that this kind of study leaves.
  std::string output_file() const {
    if (!run.empty()) return "routing_checkpoints.json";
    return reads_corpus() ? "routing.json" : "routing_text.json";
  }
};

base::FolderPolicy output_policy(const Options& options) {
  base::FolderPolicy policy;
  policy.force = options.output.force;
  policy.beside_others = true;
  policy.is_own = [file = options.output_file()](const std::string& name) { return name == file; };
  return policy;
}

void check_output(const Options& options, const std::vector<base::fs::path>& models) {
  if (options.output.path.empty()) return;
  std::vector<base::fs::path> read = {options.reads_corpus() ? options.data : options.file};
  if (read.front().empty() || read.front() == "-") read.clear();
  for (const base::fs::path& model : models) {
    for (base::fs::path& file : formats::model_files(model)) read.push_back(std::move(file));
  }
  base::require_output_folder(options.output.path, output_policy(options), read);
}

// The record, written where a folder was asked for, and printed in place of the table with --json.
void hand_out(const Options& options, base::Json record, const corpus::TokenDataset* dataset,
              const std::string& table) {
  base::Json& provenance = record["provenance"];
  const bool of_run = !options.run.empty();
  provenance = {{"program", "dsmoe " + version_text()},
                {of_run ? "run" : "model", of_run ? options.run : options.model.path}};
  if (dataset != nullptr) {
    provenance.update({{"data", options.data}, {"split", options.split}, {"data_hash", dataset->hash()}});
  }
  if (!options.output.path.empty()) {
    base::FolderOutput folder(options.output.path, output_policy(options));
    folder.write_file(options.output_file(), base::dump_json(record) + "\n");
    folder.commit();
  }
  std::cout << (options.json ? base::dump_json(record) + "\n" : table);
}

// Shows how far `walks` walks over the same text are, and stops on request.
class WalkProgress {
 public:
  explicit WalkProgress(uint64_t walks = 1) : walks_(walks) {}
  study::RoutingStudyOptions watch(study::RoutingStudyOptions walk) {
    walk.progress = [this](int64_t done, int64_t all) {
      if (signals_.requested()) base::fail(base::ErrorKind::kStopped, "study", "stopped on request");
      const auto one = static_cast<uint64_t>(all);
      if (!progress_) progress_.emplace("routing", walks_ * one, count_text);
      progress_->update(walked_ * one + static_cast<uint64_t>(done));
      if (done == all && ++walked_ == walks_) progress_->finish();
    };
    return walk;
  }

 private:
  WorkSignals signals_;
  std::optional<Progress> progress_;
  uint64_t walks_, walked_ = 0;
};

void study_corpus(const Options& options) {
  check_output(options, {options.model.path});
  const corpus::TokenDataset dataset = corpus::TokenDataset::open(options.data, options.split);
  loading::Model model = open_model(options.model);
  model.require_same_tokens(dataset);
  if (options.experts_of >= 0) study::layer_row(study::empty_trace(model.config(), {}).layers, options.experts_of);
  const study::RoutingStudy found = study::study_routing(model.engine(), dataset, WalkProgress().watch(options.walk));
  std::string table = study::routing_table(found);
  if (options.experts_of >= 0) table += study::expert_table(found, options.experts_of, model.tokenizer());
  hand_out(options, study::to_json(found, model.tokenizer()), &dataset, table);
}

void study_text(const Options& options) {
  const std::string text = options.file.empty() ? options.prompt : read_text(options.file);
  check_output(options, {options.model.path});
  loading::Model model = open_model(options.model);
  const tokenizer::Tokenizer& tokenizer = model.require_tokenizer("text needs one; --data takes a corpus of token ids");
  const study::TextRouting routing = study::route_text(model.engine(), text_ids(model, text));
  hand_out(options, study::to_json(routing, &tokenizer, study::kLongestRecord), nullptr,
           study::text_table(routing, &tokenizer));
}

void study_run(const Options& options) {
  const std::vector<study::CheckpointFolder> folders = study::checkpoint_folders(options.run);
  std::vector<base::fs::path> models;
  for (const study::CheckpointFolder& folder : folders) models.push_back(folder.path);
  check_output(options, models);
  const corpus::TokenDataset dataset = corpus::TokenDataset::open(options.data, options.split);
  study::require_same_routers(folders);
  WalkProgress progress(folders.size());
  const study::RouterSaturation saturation = study::router_saturation(folders, [&](size_t folder) {
    ModelArguments arguments = options.model;
    arguments.path = folders[folder].path.string();
    loading::Model model = open_model(arguments);
    model.require_same_tokens(dataset);
    return study::trace_routing(model.engine(), dataset, progress.watch(options.walk));
  });
  hand_out(options, study::to_json(saturation), &dataset, study::saturation_table(saturation));
}

void act(const Options& options) {
  if (options.run.empty() == options.model.path.empty()) {
    base::fail(base::ErrorKind::kUsage, "study", "routing takes a model or the checkpoints of a run",
               options.run.empty() ? "neither" : "both", "-m MODEL or --checkpoints RUN");
  }
  if (!options.run.empty() && !options.reads_corpus()) {
    base::fail(base::ErrorKind::kUsage, "study", "checkpoints are compared on a corpus", {}, "--data CORPUS");
  }
  if (!options.run.empty()) return study_run(options);
  options.reads_corpus() ? study_corpus(options) : study_text(options);
}

}  // namespace

void add_study_routing(CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App* command = group.add_subcommand("routing", "Which experts read what: load, domains, tokens, pairs");
  options->model.add_to(*command);
  command->get_option("--model")->required(false);
  command->add_option("--checkpoints", options->run,
                      "in place of a model the folder of a run: how early its routers choose as they do at its end");
  auto* input = command->add_option_group("input")->require_option(1);
  input->add_option("--data", options->data, "folder that `dsmoe data build` made");
  input->add_option("-p,--prompt", options->prompt, "one text, looked at token by token");
  input->add_option("-f,--file", options->file, "a file with it; -: standard input");
  command->add_option("--split", options->split, "train or valid")->capture_default_str();
  add_whole_number(*command, "--tokens", options->walk.token_limit,
                   "tokens of the corpus to look at over all domains; 0: all", {0, int64_t{1} << 40});
  add_whole_number(*command, "--sequence-length", options->walk.sequence_length,
                   "tokens a window; 0: max_position_embeddings");
  add_whole_number(*command, "--experts", options->experts_of,
                   "print the tokens that each expert of this layer takes; -1: of no layer", {-1, 1 << 20});
  add_output(*command, options->output, "-o,--output",
             "folder that gets routing.json (a run's folder joins its report), routing_text.json for a text, "
             "routing_checkpoints.json for a run");
  command->add_flag("--json", options->json, "one object on standard output");
  command->footer(
      "  dsmoe study routing -m runs/nano/latest --data corpus/shards --experts 2 -o runs/nano\n"
      "  dsmoe study routing -m model-q4_0.gguf -p 'Once upon a time'\n"
      "  dsmoe study routing --checkpoints runs/nano --data corpus/shards --tokens 50000");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
