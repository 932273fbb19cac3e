// dsmoe study diff: two models on the same text, or one under two interventions.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include "apps/command.h"
#include "apps/intervention_arguments.h"
#include "apps/model_option.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/stop_signals.h"
#include "apps/study.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/output.h"
#include "eval/perplexity.h"
#include "formats/checkpoint_folders.h"
#include "formats/model_files.h"
#include "study/model_diff.h"

namespace dsmoe::apps {
namespace {

constexpr const char* kFile = "diff.json";

struct Options {
  ModelArguments model;  // of both; the path is the first's
  std::string second, data, split = "valid", tokens;
  eval::PerplexityOptions perplexity;
  InterventionArguments on_first, on_second;
  OutputArguments output;
  bool json = false;

  const std::string& second_path() const { return second.empty() ? model.path : second; }
};

// "gshard/latest, drop_shared true": the model as a person knows it, and what was done to it.
std::string name_of(const std::string& path, const base::Json& change) {
  std::string name = formats::model_name(path);
  for (const auto& [key, value] : change.items()) name += ", " + key + " " + base::dump_json(value);
  return name;
}

base::FolderPolicy output_policy(const Options& options) {
  base::FolderPolicy policy;
  policy.force = options.output.force;
  policy.beside_others = true;
  policy.is_own = [](const std::string& name) { return name == kFile; };
  return policy;
}

void check_outputs(const Options& options) {
  std::vector<base::fs::path> read = {options.data};
  for (const std::string& path : {options.model.path, options.second_path()}) {
    for (base::fs::path& file : formats::model_files(path)) read.push_back(std::move(file));
  }
  if (!options.output.path.empty()) base::require_output_folder(options.output.path, output_policy(options), read);
  if (!options.tokens.empty()) base::require_output_file(options.tokens, options.output.force, read);
}

// What a model made of the text, and its scores by document.
struct Scored {
  study::Reading reading;
  std::vector<eval::DocumentScore> documents;
};

// One bar over both readings, which ends them on request.
class Walk {
 public:
  eval::OnScored next() {
    return [this](int64_t done, int64_t all) {
      if (signals_.requested()) base::fail(base::ErrorKind::kStopped, "study", "stopped on request");
      if (!progress_) progress_ = std::make_unique<Progress>("reading", static_cast<uint64_t>(2 * all), count_text);
      progress_->update(before_ + static_cast<uint64_t>(done));
      if (done == all) before_ += static_cast<uint64_t>(all);
    };
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  WorkSignals signals_;
  std::unique_ptr<Progress> progress_;
  uint64_t before_ = 0;
};

Scored read(engine::Engine& engine, const corpus::TokenDataset& corpus, eval::PerplexityOptions options,
            const engine::Intervention& change, study::ReadText* text, Walk& walk) {
  change.validate(engine.config());
  options.intervention = change;
  const corpus::ValidationWindows windows = eval::windows_of(engine, corpus, options);
  int64_t tokens = 0;
  for (int64_t w = 0; w < windows.size(); ++w) tokens += windows.scored(w);
  Scored scored{study::empty_reading(engine.config(), change, tokens), {}};
  study::ReadingProbe probe(scored.reading);
  options.probe = &probe;
  options.on_window = [&](int64_t window, std::span<const int32_t> inputs, std::span<const int32_t> targets,
                          std::span<const double> nats) {
    scored.reading.nats.insert(scored.reading.nats.end(), nats.begin(), nats.end());
    if (text == nullptr) return;
    const int64_t begin = std::ssize(text->tokens);
    text->windows.push_back({static_cast<size_t>(windows.domain(window)), begin, begin + std::ssize(inputs)});
    text->tokens.insert(text->tokens.end(), inputs.begin(), inputs.end());
    text->targets.insert(text->targets.end(), targets.begin(), targets.end());
  };
  scored.documents = eval::perplexity(engine, corpus, options, walk.next()).documents;
  return scored;
}

std::vector<study::ModelDiff::Row> rows_of(const std::vector<std::string>& domains, const Scored& a, const Scored& b) {
  const auto row = [](const std::string& name, const std::vector<eval::DocumentScore>& ours,
                      const std::vector<eval::DocumentScore>& theirs) {
    int64_t tokens = 0;
    for (const eval::DocumentScore& document : ours) tokens += document.score.tokens;
    return study::ModelDiff::Row{name, tokens, eval::estimates_of(ours).nats_per_token.mean,
                                 eval::estimates_of(theirs).nats_per_token.mean,
                                 eval::paired_difference(theirs, ours).nats_per_token.standard_error};
  };
  std::vector<study::ModelDiff::Row> rows = {row("all", a.documents, b.documents)};
  for (const std::string& domain : domains) {
    const auto ours = eval::of_domain(a.documents, domain);
    if (!ours.empty()) rows.push_back(row(domain, ours, eval::of_domain(b.documents, domain)));
  }
  return rows;
}

// An object a window: its domain, the ids of the tokens that were predicted, and what each model lost at them.
std::string token_lines(const study::ReadText& text, const study::Reading& a, const study::Reading& b) {
  std::string lines;
  for (const auto& window : text.windows) {
    const auto part = [&](const auto& values) {
      base::Json list = base::Json::array();
      for (int64_t t = window.begin; t < window.end; ++t) list.push_back(values[static_cast<size_t>(t)]);
      return list;
    };
    lines += base::dump_json({{"domain", text.domains[window.domain]},
                              {"ids", part(text.targets)},
                              {"a", part(a.nats)},
                              {"b", part(b.nats)}}) +
             "\n";
  }
  return lines;
}

// Both models read in the windows of the one with the shorter context, unless a length is asked for.
eval::PerplexityOptions common_options(const Options& options, const loading::Model& a, const loading::Model& b) {
  eval::PerplexityOptions common = options.perplexity;
  if (common.sequence_length == 0) {
    common.sequence_length = std::min(a.config().max_position_embeddings, b.config().max_position_embeddings);
  }
  return common;
}

void act(const Options& options) {
  const engine::Intervention first = options.on_first.intervention(), second = options.on_second.intervention();
  if (options.second.empty() && first == second) {
    base::fail(base::ErrorKind::kUsage, "study", "diff takes two models, or one and what is done to it",
               options.model.path, "name another model, or an intervention such as --drop-shared");
  }
  check_outputs(options);
  const corpus::TokenDataset corpus = corpus::TokenDataset::open(options.data, options.split);
  loading::Model a = open_model(options.model);
  std::optional<loading::Model> other;
  if (!options.second.empty()) {
    ModelArguments arguments = options.model;
    arguments.path = options.second;
    other.emplace(open_model(arguments));
  }
  loading::Model& b = other ? *other : a;
  a.require_same_tokens(corpus), b.require_same_tokens(corpus);

  const eval::PerplexityOptions common = common_options(options, a, b);
  study::ReadText text;
  text.domains = corpus.domain_names();
  Walk walk;
  const Scored of_a = read(a.engine(), corpus, common, first, &text, walk);
  const Scored of_b = read(b.engine(), corpus, common, second, nullptr, walk);
  walk.finish();
  study::ModelDiff diff =
      study::diff_models(text, of_a.reading, of_b.reading, rows_of(text.domains, of_a, of_b), a.tokenizer());
  diff.a = name_of(options.model.path, options.on_first.json());
  diff.b = name_of(options.second_path(), options.on_second.json());

  base::Json json = study::to_json(diff);
  json["provenance"] = {{"program", "dsmoe " + version_text()},
                        {"a", {{"model", options.model.path}, {"intervention", options.on_first.json()}}},
                        {"b", {{"model", options.second_path()}, {"intervention", options.on_second.json()}}},
                        {"data", options.data},
                        {"split", options.split},
                        {"data_hash", corpus.hash()},
                        {"sequence_length", common.sequence_length}};
  if (!options.tokens.empty()) base::write_file(options.tokens, token_lines(text, of_a.reading, of_b.reading));
  if (!options.output.path.empty()) {
    base::FolderOutput folder(options.output.path, output_policy(options));
    folder.write_file(kFile, base::dump_json(json) + "\n");
    folder.commit();
  }
  std::cout << (options.json ? base::dump_json(json) + "\n" : study::diff_table(diff));
}

}  // namespace

void add_study_diff(CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      group.add_subcommand("diff", "Two models on the same text, or one under interventions: where they part");
  options->model.add_to(*command);
  command->remove_option(command->get_option("--model"));
  add_model(*command, options->model.path, "A", "a model folder, a run's folder or a GGUF file")->required();
  add_model(*command, options->second, "B", "another one; without it, A as the interventions below change it");
  command->add_option("--data", options->data, "folder that `dsmoe data build` made")->required();
  command->add_option("--split", options->split, "train or valid")->capture_default_str();
  add_whole_number(*command, "--sequence-length", options->perplexity.sequence_length,
                   "tokens a window; 0: the shorter of the two contexts");
  add_whole_number(*command, "--limit", options->perplexity.token_limit, "about this many tokens of the corpus; 0: all",
                   {0, int64_t{1} << 40});
  options->on_second.add_to(*command);
  options->on_first.add_to(*command, "first-");
  command->add_option("--token-losses", options->tokens,
                      "file that gets every token's loss under both, a window a line");
  add_output(*command, options->output, "-o,--output", "folder that gets diff.json (a run's folder joins its report)");
  command->add_flag("--json", options->json, "one object on standard output");
  command->footer(
      "  dsmoe study diff runs/dense/latest runs/moe/latest --data corpus/shards -o runs/moe\n"
      "  dsmoe study diff model.gguf --drop-shared --data corpus/shards --limit 50000\n"
      "  dsmoe study diff model.gguf --first-drop-shared --mask-experts 3:0,17 --data corpus/shards");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
