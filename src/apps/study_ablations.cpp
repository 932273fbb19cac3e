// dsmoe study disable, shared, fewer: the loss of a model whose experts are taken away.
#include <charconv>
#include <iostream>
#include <memory>

#include "apps/command.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/score_ablation.h"
#include "apps/stop_signals.h"
#include "apps/study.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/model_files.h"

namespace dsmoe::apps {
namespace {

using study::AblationKind;

struct Options {
  AblationKind kind = AblationKind::kDisable;
  ModelArguments model;
  std::string data, split = "valid";
  eval::PerplexityOptions perplexity;
  std::vector<std::string> shares;
  std::vector<int64_t> experts;
  OutputArguments output;
  bool json = false;

  std::string file() const { return std::string(study::ablation_name(kind)) + ".json"; }
};

// "0.25" or "4/16".
double share_of(const std::string& text) {
  const auto number = [&](std::string_view digits) {
    double value = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (fault != std::errc() || end != digits.data() + digits.size()) {
      base::fail(base::ErrorKind::kUsage, "study", "a share is a number such as 0.25 or 4/16", base::in_quotes(text));
    }
    return value;
  };
  const size_t slash = text.find('/');
  const double share = slash == std::string::npos ? number(text)
                                                  : number(std::string_view(text).substr(0, slash)) /
                                                        number(std::string_view(text).substr(slash + 1));
  if (!(share >= 0 && share < 1)) {
    base::fail(base::ErrorKind::kUsage, "study", "a share must be from 0 to below 1", base::in_quotes(text));
  }
  return share;
}

std::vector<double> shares_of(const Options& options) {
  std::vector<double> shares;
  for (const std::string& text : options.shares) shares.push_back(share_of(text));
  return shares;
}

study::Ablation points_of(const Options& options, const std::vector<double>& shares, const spec::ModelConfig& config) {
  if (options.kind == AblationKind::kDisable && !shares.empty()) return study::disable_study(config, shares);
  if (options.kind == AblationKind::kFewer) return study::fewer_study(config, options.experts);
  return study::default_study(options.kind, config);
}

base::FolderPolicy output_policy(const Options& options) {
  base::FolderPolicy policy;
  policy.force = options.output.force;
  policy.beside_others = true;
  policy.is_own = [file = options.file()](const std::string& name) { return name == file; };
  return policy;
}

void check_output(const Options& options) {
  if (options.output.path.empty()) return;
  std::vector<base::fs::path> read = formats::model_files(options.model.path);
  read.push_back(options.data);
  base::require_output_folder(options.output.path, output_policy(options), read);
}

void score(const Options& options, const corpus::TokenDataset& corpus, engine::Engine& engine, study::Ablation& study) {
  const WorkSignals signals;
  std::unique_ptr<Progress> progress;
  score_ablation(engine, corpus, options.perplexity, study, [&](int64_t done, int64_t all) {
    if (signals.requested()) base::fail(base::ErrorKind::kStopped, "study", "stopped on request");
    if (!progress) progress = std::make_unique<Progress>("scoring", static_cast<uint64_t>(all), count_text);
    progress->update(static_cast<uint64_t>(done));
  });
  if (progress) progress->finish();
}

void act(const Options& options) {
  const std::vector<double> shares = shares_of(options);
  check_output(options);
  const corpus::TokenDataset corpus = corpus::TokenDataset::open(options.data, options.split);
  loading::Model model = open_model(options.model);
  model.require_same_tokens(corpus);
  study::Ablation study = points_of(options, shares, model.engine().config());
  score(options, corpus, model.engine(), study);

  base::Json json = study::to_json(study);
  json["provenance"] = {{"program", "dsmoe " + version_text()},
                        {"model", options.model.path},
                        {"data", options.data},
                        {"split", options.split},
                        {"data_hash", corpus.hash()}};
  if (!options.output.path.empty()) {
    base::FolderOutput folder(options.output.path, output_policy(options));
    folder.write_file(options.file(), base::dump_json(json) + "\n");
    folder.commit();
  }
  std::cout << (options.json ? base::dump_json(json) + "\n" : study::ablation_table(study));
}

CLI::App* add_ablation(CLI::App& group, const std::shared_ptr<Options>& options, const std::string& help) {
  const std::string name(study::ablation_name(options->kind));
  CLI::App* command = group.add_subcommand(name, help);
  options->model.add_to(*command);
  command->add_option("--data", options->data, "folder that `dsmoe data build` made")->required();
  command->add_option("--split", options->split, "train or valid")->capture_default_str();
  add_whole_number(*command, "--sequence-length", options->perplexity.sequence_length,
                   "tokens a window; 0: max_position_embeddings");
  add_whole_number(*command, "--limit", options->perplexity.token_limit,
                   "about this many tokens of the corpus for each point; 0: all", {0, int64_t{1} << 40});
  add_output(*command, options->output, "-o,--output",
             "folder that gets " + options->file() + " (a run's folder joins its report)");
  command->add_flag("--json", options->json, "one object on standard output");
  command->callback([options] { act(*options); });
  return command;
}

}  // namespace

void add_study_ablations(CLI::App& group) {
  const auto options_of = [](AblationKind kind) {
    auto options = std::make_shared<Options>();
    options->kind = kind;
    return options;
  };
  const auto disable = options_of(AblationKind::kDisable), shared = options_of(AblationKind::kShared),
             fewer = options_of(AblationKind::kFewer);
  CLI::App* command = add_ablation(group, disable, "Mask each token's routed experts of highest affinity (Figure 4)");
  command
      ->add_option("--shares", disable->shares,
                   "shares of the routed experts to mask, such as 0.125 or 2/16; default: 1/16,2/16,3/16,4/16")
      ->delimiter(',');
  command->footer("  dsmoe study disable -m runs/nano/latest --data corpus/shards --limit 100000 -o runs/nano");
  command = add_ablation(group, shared, "Drop the shared experts, with and without routed ones in their place");
  command->footer("  dsmoe study shared -m runs/nano/latest --data corpus/shards");
  command = add_ablation(group, fewer, "Visit fewer routed experts than in training (Figure 5)");
  const auto read_experts = [fewer](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      read_whole_number<int64_t>("--experts", text, {1}, fewer->experts.emplace_back());
    }
  };
  command
      ->add_option_function<std::vector<std::string>>("--experts", read_experts,
                                                      "routed experts a token, such as 3,4,5; default: from 1 up")
      ->delimiter(',')
      ->type_name("N");
  command->footer("  dsmoe study fewer -m model-q4_0.gguf --data corpus/shards --experts 3,4,5 --limit 20000");
}

}  // namespace dsmoe::apps
